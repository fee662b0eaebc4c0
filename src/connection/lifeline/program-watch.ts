/**
 * Whether the peer's program is there, and not its device alone: an RNIC acknowledges also for a process that has stopped. Where a
 * session asks for it this is not needed, and in a brief life nothing else tells.
 *
 * Invariants: a program of which nothing has come for a while is asked at the next look, and again at each look that finds silence.
 * Until something comes that only a program can have sent, acknowledgements are no signs of life.
 */

/** Intervals without a word of the program after which it is asked: in silence, every third message that looks after it asks. */
const WORDLESS_INTERVALS = 5;

export class ProgramWatch {
  /** It was asked, and has not said anything since. */
  isAsked = false;
  readonly #intervalMillis: number;
  #spokeAt = 0;

  constructor(intervalMillis: number) {
    this.#intervalMillis = intervalMillis;
  }

  /** A fragment of the peer came, or the connection is up. */
  spoke(now: number): void {
    this.#spokeAt = now;
    this.isAsked = false;
  }

  /** At a look: whether to ask now. `isSilent`: the look has found that nothing came. */
  asks(now: number, isSilent: boolean): boolean {
    if (this.isAsked) return isSilent;
    this.isAsked = now - this.#spokeAt >= WORDLESS_INTERVALS * this.#intervalMillis;
    return this.isAsked;
  }
}
