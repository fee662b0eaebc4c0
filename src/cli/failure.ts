/** How the program ends: exit codes, and one line on standard error for what a person can do something about. */
import { cleanText } from '../session/clean-text.js';
import { RdmaError } from '../verbs/errors.js';
import type { JsonEvent, Output } from './output.js';
import { WrongArguments } from './wrong-arguments.js';

export const ExitCode = { OK: 0, FAILED: 1, USAGE: 2 } as const;

const MAX_MESSAGE_CHARS = 1000;

/** Tells the failure, to programs as an event too, and returns the exit code. */
export function reportFailure(error: unknown, output: Output): number {
  output.event(failureEvent(error));
  process.stderr.write(`queuepair: ${failureLine(error)}\n`);
  return error instanceof WrongArguments ? ExitCode.USAGE : ExitCode.FAILED;
}

/** The failure for programs, under --json. */
export function failureEvent(error: unknown): JsonEvent {
  const message = failureLine(error);
  if (error instanceof WrongArguments) return { event: 'error', code: 'ERR_USAGE', message };
  if (!(error instanceof RdmaError)) return { event: 'error', code: 'ERR_UNEXPECTED', message };
  const { code, refusal } = error;
  return { event: 'error', code, message, ...(refusal === undefined ? {} : { refusal }) };
}

/** A failure of our own making keeps its stack: it is a bug, and the line that reports it should help to find it. */
export function failureLine(error: unknown): string {
  if (error instanceof RdmaError) return cleanText(error.message, MAX_MESSAGE_CHARS);
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `unexpected failure, please report it: ${detail}`;
}

/** Ends the process when everything written has left it. What is still open does not keep it. */
export async function endProcess(): Promise<never> {
  await Promise.all([process.stdout, process.stderr].map(flushed));
  process.exit();
}

const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
