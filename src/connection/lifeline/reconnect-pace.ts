/**
 * How long a client waits before it connects again. Time (ms) and randomness (0 to 1) are arguments.
 *
 * Invariants: after a connection that lasted the wait is short, but never the same for all clients, which a server that dies sends
 * away in the same moment; each failure after that doubles it, up to half a minute. A connection that breaks at once is a failure.
 */
import { backOffMillis } from '../common/back-off.js';

const SPREAD_MILLIS = 200;
const FIRST_PAUSE_MILLIS = 400;
const LONGEST_PAUSE_MILLIS = 30_000;
/** A connection that was up for so long has worked. */
const STEADY_MILLIS = 5000;

export class ReconnectPace {
  #failures = 0;
  #upSince = 0;

  connected(now: number): void {
    this.#upSince = now;
  }

  ended(now: number): void {
    if (now - this.#upSince >= STEADY_MILLIS) this.#failures = 0;
    else this.#failures++;
  }

  /** No connection came about. */
  failed(): void {
    this.#failures++;
  }

  pauseMillis(random: () => number): number {
    if (this.#failures === 0) return random() * SPREAD_MILLIS;
    return backOffMillis(FIRST_PAUSE_MILLIS, LONGEST_PAUSE_MILLIS, this.#failures - 1, random);
  }
}
