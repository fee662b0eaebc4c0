/** What is kept of an input that must not have happened: the input made small, what went wrong, and how to see it again. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Finding } from './target.js';

const MAX_MINIMIZE_RUNS = 400;

export interface Crash {
  readonly target: string;
  /** Crashes with the same one have the same cause, as far as can be told. */
  readonly signature: string;
  readonly message: string;
  readonly stack: string;
  readonly input: Uint8Array;
}

export function describeCrash(target: string, input: Uint8Array, error: unknown): Crash {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const frame = /\n\s+at (.*)/.exec(stack ?? '')?.[1] ?? '';
  const kind = `${name}: ${message}`.replace(/\d+/g, '#').slice(0, 120);
  const signature = error instanceof Finding ? kind : `${kind} ${frame.replace(/^.*\//, '')}`;
  return { target, signature, message: `${name}: ${message}`, stack: stack ?? '', input };
}

/** Runs an input, and throws when something goes wrong with it. */
export type RunInput = (input: Uint8Array) => unknown;

/** Leaves out steps of `stepBytes` as long as the same thing goes wrong. */
export async function minimize(run: RunInput, stepBytes: number, crash: Crash): Promise<Crash> {
  let best = crash;
  let runs = 0;
  for (let size = 64; size >= 1; size = size >> 1) {
    const bytes = size * stepBytes;
    for (let at = 0; at < best.input.length && best.input.length > bytes; ) {
      if (runs++ >= MAX_MINIMIZE_RUNS) return best;
      const shorter = await tryWithout(run, best, at, bytes);
      if (shorter === null) at += bytes;
      else best = shorter;
    }
  }
  return best;
}

async function tryWithout(run: RunInput, crash: Crash, at: number, length: number): Promise<Crash | null> {
  const end = Math.min(at + length, crash.input.length);
  const input = new Uint8Array(crash.input.length - (end - at));
  input.set(crash.input.subarray(0, at));
  input.set(crash.input.subarray(end), at);
  try {
    await run(input);
  } catch (error) {
    const shorter = describeCrash(crash.target, input, error);
    if (shorter.signature === crash.signature) return shorter;
  }
  return null;
}

/** Writes the input into `folder` and returns its path. */
export function saveInput(folder: string, target: string, input: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 16);
  const path = join(folder, `${target}-${hash}.bin`);
  writeFileSync(path, input);
  return path;
}

export const replayCommand = (target: string, path: string): string =>
  `npm run fuzz -- --target ${target} --replay ${relative(process.cwd(), path) || path}`;

export function crashReport(crash: Crash, path: string): string {
  const hex = Buffer.from(crash.input).toString('hex');
  return [
    `crash in target ${crash.target}: ${crash.message}`,
    `input (${crash.input.length} bytes): ${hex}`,
    crash.stack,
    `replay: ${replayCommand(crash.target, path)}`,
    '',
  ].join('\n');
}
