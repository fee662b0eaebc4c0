/** Signals that ask the program to end: the first is kept as a promise, the second ends the process at once. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type EndSignal = (typeof SIGNALS)[number];

/** What a shell reports of a process that a signal ended. */
export const signalExitCode = (signal: EndSignal): number => 128 + constants.signals[signal];

/** Resolves with the first of these signals. Call once a process. */
export function firstSignal(signals: readonly EndSignal[] = SIGNALS): Promise<EndSignal> {
  return new Promise((resolve) => {
    let first: EndSignal | undefined;
    for (const signal of signals) {
      process.on(signal, () => {
        if (first !== undefined) process.exit(signalExitCode(signal));
        first = signal;
        resolve(signal);
      });
    }
  });
}
