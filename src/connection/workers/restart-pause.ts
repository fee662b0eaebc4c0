/**
 * How long a worker's place stays empty after a death: not at all at first, then longer and longer while those that follow die early.
 *
 * Invariant: one that has lived for long begins the count anew.
 */

/** One that has lived for so long did not die of its beginning. */
const STABLE_MILLIS = 1000;
const FIRST_PAUSE_MILLIS = 100;
const LONGEST_PAUSE_MILLIS = 5000;

export class RestartPause {
  /** Deaths in a row that came early. */
  #earlyDeaths = 0;

  /** A worker has died that lived for `livedMillis`. Returns the pause until the next one begins. */
  afterDeath(livedMillis: number): number {
    this.#earlyDeaths = livedMillis > STABLE_MILLIS ? 0 : this.#earlyDeaths + 1;
    if (this.#earlyDeaths < 2) return 0;
    return Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** (this.#earlyDeaths - 2));
  }
}
