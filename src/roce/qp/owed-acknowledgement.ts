/**
 * The acknowledgement of requests that did not ask for one: the responder gives it after a moment in which nothing more
 * has come, so that the peer's last requests complete without its asking again. Any acknowledgement in between settles it.
 *
 * Invariant: what is owed is given `QUIET_MICROS` after the last request at the latest, when the owner calls `isDue` at
 * `wakeAt`. The timer is set once for many requests and looks again when it is due.
 */
const QUIET_MICROS = 1000;
const NEVER = Number.POSITIVE_INFINITY;

export class OwedAcknowledgement {
  #isOwed = false;
  #heardAt = Number.NEGATIVE_INFINITY;
  #wakeAt = NEVER;

  get isOwed(): boolean {
    return this.#isOwed;
  }

  /** When `isDue` wants to be called, µs; Infinity = never. */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** A request came that did not ask. Returns whether `wakeAt` is new. */
  owe(now: number): boolean {
    this.#isOwed = true;
    this.#heardAt = now;
    if (this.#wakeAt !== NEVER) return false;
    this.#wakeAt = now + QUIET_MICROS;
    return true;
  }

  settle(): void {
    this.#isOwed = false;
  }

  /** Whether the moment has come; otherwise `wakeAt` may have moved. */
  isDue(now: number): boolean {
    if (this.#wakeAt > now) return false;
    const at = this.#isOwed ? this.#heardAt + QUIET_MICROS : NEVER;
    this.#wakeAt = at > now ? at : NEVER;
    return at <= now;
  }
}
