/**
 * Whether the peer's program is there, and not its device alone: an RNIC acknowledges also for a process that has stopped. Where a
 * session asks for it this is not needed, and in a brief life nothing else tells.
 *
 * Invariants: a program of which nothing has come for a while is asked at the next look, and again at each look that finds silence.
 * Until something comes that only a program can have sent, acknowledgements are no signs of life.
 */

/** Intervals without a word of the program after which it is asked, at least. */
const WORDLESS_INTERVALS = 5;
/** How many times as long as this end is patient: longer than a turn of the other end takes, and shorter than two. */
const WORDLESS_TURNS = 5 / 4;

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

  /** At a look: whether to ask now. `isSilent`: the look has found that nothing came. `patienceMillis`: how long nothing may come. */
  asks(now: number, isSilent: boolean, patienceMillis: number): boolean {
    if (this.isAsked) return isSilent;
    const wordlessMillis = Math.max(
      WORDLESS_INTERVALS * this.#intervalMillis,
      WORDLESS_TURNS * patienceMillis,
    );
    this.isAsked = now - this.#spokeAt >= wordlessMillis;
    return this.isAsked;
  }
}
