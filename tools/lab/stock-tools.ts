/** The stock tools in the machine, and our program on this side, as the two ends of one measurement. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { lastLines, spawnBound } from './commands.js';
import type { Machine } from './machine.js';
import { type IpVersion, THERE } from './network.js';

const QUEUEPAIR = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
export const TIMEOUT_MILLIS = 60_000;

export type ProgramEvent = Readonly<Record<string, unknown>>;

export interface Running {
  /** A server waits for its client. */
  readonly listening: Promise<void>;
  /** What it printed with --json, once it has ended well. */
  readonly events: Promise<readonly ProgramEvent[]>;
}

/** Starts `queuepair ARGUMENTS` on this side. Neither promise has to be looked at. */
export function startQueuepair(args: readonly (string | number)[]): Running {
  const child = spawnBound(process.execPath, [QUEUEPAIR, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MILLIS);
  let output = '';
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const events = once(child, 'close').then(([code]) => {
    clearTimeout(timer);
    if (code !== 0) throw new Error(`queuepair ${args[0]} ended with ${code}: ${lastLines(errors, 2)}`);
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ProgramEvent);
  });
  const listening = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes('"listening"')) resolve();
    });
    events.catch(reject);
  });
  listening.catch(() => {});
  return { listening, events };
}

/** The number that a program's result has under a name. */
export async function resultOf({ events }: Running, name: string): Promise<number> {
  const value = (await events).find(({ event }) => event === 'result')?.[name];
  if (typeof value === 'number') return value;
  throw new Error(`queuepair printed no ${name}`);
}

export interface StockServer {
  /** What it printed, once it has ended. */
  readonly output: Promise<string>;
}

/** Starts a server in the machine, and waits until it listens. */
export async function startStockServer(
  machine: Machine,
  command: string,
  port: number,
): Promise<StockServer> {
  const output = machine.runOrThrow(command, TIMEOUT_MILLIS);
  // Somebody must look at its failure even when the client fails first.
  output.catch(() => {});
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const listens = `grep -q ':${hex} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6`;
  await machine.runOrThrow(`until ${listens}; do sleep 0.05; done`, TIMEOUT_MILLIS);
  return { output };
}

/** The index of the RoCE v2 GID that rxe0 has for the machine's address. */
export async function findGidIndex(machine: Machine, ip: IpVersion): Promise<number> {
  const text = await machine.runOrThrow('ibv_devinfo -v -d rxe0');
  const address = ip === 4 ? `::ffff:${THERE[4]}` : THERE[6];
  for (const [, index, gid, type] of text.matchAll(/GID\[\s*(\d+)\]:\s*(\S+), (.*)$/gm)) {
    if (gid === address && type === 'RoCE v2') return Number(index);
  }
  throw new Error(`rxe0 has no GID ${address}`);
}
