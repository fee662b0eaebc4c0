/**
 * When a connection looks after its peer, and how long it has heard nothing then.
 *
 * Invariants: a look that comes late moves none of those behind it, and the first comes at any time of the interval. So
 * connections that came up together, or were late together because their process stood still, do not look together, and
 * thousands of them make no burst of messages. Between two looks there is half an interval at least. However long nothing was
 * heard, a peer is lost only after it has left two looks unanswered: a process that stood still has heard nobody, whoever spoke.
 */

/** Silent intervals after which a peer is taken for lost, and looks in a row at which it was silent. */
const SILENT_INTERVALS = 3;
const SILENT_LOOKS = 3;

export class KeepAlive {
  /** When the next look is due. */
  lookAt = 0;
  /** Looks in a row at which nothing had been heard for an interval. */
  silentLooks = 0;
  readonly #intervalMillis: number;
  #heardAt = 0;

  constructor(intervalMillis: number) {
    this.#intervalMillis = intervalMillis;
  }

  /** The connection is up. `random`: from 0 to 1. */
  begin(now: number, random: number): void {
    this.heard(now);
    this.lookAt = now + this.#intervalMillis * random;
  }

  heard(now: number): void {
    this.#heardAt = now;
    this.silentLooks = 0;
  }

  /** A look; returns for how many milliseconds the peer has been silent. */
  look(now: number): number {
    const interval = this.#intervalMillis;
    this.lookAt += Math.ceil((now - this.lookAt) / interval + 1 / 2) * interval;
    const silentMillis = now - this.#heardAt;
    if (silentMillis >= interval) this.silentLooks++;
    return silentMillis;
  }

  /** Whether the look that found this silence is the last. */
  isLost(silentMillis: number): boolean {
    return silentMillis > SILENT_INTERVALS * this.#intervalMillis && this.silentLooks >= SILENT_LOOKS;
  }
}
