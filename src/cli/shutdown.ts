/**
 * What asks the program to end: a signal, that nobody reads its standard output any more, which counts as SIGPIPE, or that the npx which
 * started it was ended, which counts as SIGTERM: npm gives the signal to a shell, and that to nobody.
 * The first is kept as a promise, so that a command can end in order; a second signal ends the process at once.
 */
import { constants } from 'node:os';
import { ExitCode } from './failure.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type EndSignal = (typeof SIGNALS)[number] | 'SIGPIPE';

/** What a shell reports of a process that a signal ended. */
export const signalExitCode = (signal: EndSignal): number => 128 + constants.signals[signal];

const PARENT_MILLIS = 500;

let endInOrder: ((signal: EndSignal) => void) | undefined;

/** Resolves with the first of these signals, or when standard output is lost. Call once a process. */
export function firstSignal(signals: readonly EndSignal[] = SIGNALS): Promise<EndSignal> {
  return new Promise((resolve) => {
    let first: EndSignal | undefined;
    endInOrder = (signal) => {
      first ??= signal;
      resolve(first);
    };
    for (const signal of signals) {
      process.on(signal, () => {
        if (first !== undefined && first !== 'SIGPIPE') process.exit(signalExitCode(signal));
        first = signal;
        resolve(signal);
      });
    }
    if (process.env['npm_command'] === 'exec' && signals.includes('SIGTERM')) {
      onParentGone(() => {
        first ??= 'SIGTERM';
        resolve(first);
      });
    }
  });
}

/** The process gets another parent when its own has ended. */
function onParentGone(tell: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    tell();
  }, PARENT_MILLIS).unref();
}

/**
 * Runs `work`, whose AbortSignal a signal aborts as long as it has not resolved. Returns what came of it, or the exit code
 * for a signal that cut it off.
 *
 * @throws whatever `work` does, unless a signal came first.
 */
export async function untilSignal<T extends object>(
  signalled: Promise<EndSignal>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | number> {
  const abort = new AbortController();
  let cutBy: EndSignal | undefined;
  let isOver = false;
  void signalled.then((signal) => {
    if (isOver) return;
    cutBy = signal;
    abort.abort();
  });
  try {
    return await work(abort.signal);
  } catch (error) {
    if (cutBy === undefined) throw error;
    return signalExitCode(cutBy);
  } finally {
    isOver = true;
  }
}

/**
 * Standard output failed, once for each write. Commands that hold something end in order; of the others, as of
 * `queuepair devices | head`, whoever read has seen enough.
 */
export function onOutputError(error: NodeJS.ErrnoException): void {
  if (endInOrder !== undefined) endInOrder('SIGPIPE');
  else process.exit(error.code === 'EPIPE' ? ExitCode.OK : ExitCode.FAILED);
}
