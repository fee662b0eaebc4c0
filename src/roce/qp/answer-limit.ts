/**
 * How often a responder answers duplicates, which an attacker who guesses can make it do: one PSN of two is a
 * duplicate. `BURST` answers at once, then one in `INTERVAL_MICROS`. What is above that is owed and given when its time
 * comes, as one answer to all: acknowledgements are cumulative, so the peer that lost one waits that long at most.
 *
 * Invariant: in any span of t µs there are at most `BURST` + t / `INTERVAL_MICROS` answers, and whoever is owed one
 * gets it.
 */
const BURST = 32;
const INTERVAL_MICROS = 100;
const NEVER = Number.POSITIVE_INFINITY;

export class AnswerLimit {
  /** When the bucket would be full: each answer moves it by one interval, and it never lies in the past. */
  #fullAt = Number.NEGATIVE_INFINITY;
  #owedAt = NEVER;

  /** When the answer that is owed may be given, µs; Infinity = none is. */
  get owedAt(): number {
    return this.#owedAt;
  }

  /** Whether an answer may be given now. If not, it is owed from now on. */
  take(now: number): boolean {
    const from = Math.max(this.#fullAt, now);
    const mayAt = from - (BURST - 1) * INTERVAL_MICROS;
    if (mayAt > now) {
      this.#owedAt = mayAt;
      return false;
    }
    this.#fullAt = from + INTERVAL_MICROS;
    return true;
  }

  /** Another answer has said it. */
  settle(): void {
    this.#owedAt = NEVER;
  }
}
