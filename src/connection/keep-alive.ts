/**
 * When a connection looks after its peer, and how long it has heard nothing then.
 *
 * Invariants: a look that comes late moves none of those behind it, and the first comes at any time of the interval. So
 * connections that came up together, or were late together because their process stood still, do not look together, and
 * thousands of them make no burst of messages. Between two looks there is half an interval at least.
 */
export class KeepAlive {
  /** When the next look is due. */
  lookAt = 0;
  readonly #intervalMillis: number;
  #heardAt = 0;

  constructor(intervalMillis: number) {
    this.#intervalMillis = intervalMillis;
  }

  /** The connection is up. `random`: from 0 to 1. */
  begin(now: number, random: number): void {
    this.#heardAt = now;
    this.lookAt = now + this.#intervalMillis * random;
  }

  heard(now: number): void {
    this.#heardAt = now;
  }

  /** A look; returns for how many milliseconds the peer has been silent. */
  look(now: number): number {
    const lateMillis = now - this.lookAt;
    // A process that was stopped, or busy, for so long has heard nobody, whoever spoke: what has come meanwhile is still to be read.
    if (lateMillis > this.#intervalMillis) this.#heardAt = Math.min(now, this.#heardAt + lateMillis);
    this.lookAt += Math.ceil(lateMillis / this.#intervalMillis + 1 / 2) * this.#intervalMillis;
    return now - this.#heardAt;
  }
}
