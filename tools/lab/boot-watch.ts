/**
 * Whether a machine that boots gets on. An emulated machine now and then stands still, before its kernel has said a word (one boot in some three
 * hundred): one whose console says nothing for long, at whatever stage, is given up sooner than one that is slow, and booted again.
 */
import { lastLines } from './commands.js';

const LIMIT_MILLIS = 120_000;
const SILENCE_MILLIS = 40_000;
const ATTEMPTS = 3;

/** The console has said nothing for long. */
export class StoodStill extends Error {}

export class BootWatch {
  readonly #beganAt: number;
  #heardAt: number;

  constructor(now: number) {
    this.#beganAt = now;
    this.#heardAt = now;
  }

  /** The console has said something. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** @throws StoodStill; Error when it takes too long although it gets on; with the end of the console's text. */
  check(now: number, consoleText: string): void {
    const last = lastLines(consoleText, 5);
    if (now - this.#heardAt > SILENCE_MILLIS)
      throw new StoodStill(
        `the machine said nothing for ${SILENCE_MILLIS / 1000} s while it booted: ${last}`,
      );
    if (now - this.#beganAt > LIMIT_MILLIS)
      throw new Error(`the machine did not come up in ${LIMIT_MILLIS / 1000} s: ${last}`);
  }
}

/** Boots, again where the machine stood still, three times at most; `say` hears why. @throws Error of the last attempt. */
export async function persistently<T>(boot: () => Promise<T>, say: (text: string) => void): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await boot();
    } catch (error) {
      if (!(error instanceof StoodStill) || left === 0) throw error;
      say(`${error.message}; booting it again`);
    }
  }
}
