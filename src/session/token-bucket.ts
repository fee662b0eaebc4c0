/**
 * A token bucket: so many tokens come every second, up to a burst. What was used is taken when it is known, so that the bucket may owe;
 * whoever asks goes on when it owes nothing. Time (ms) is an argument.
 *
 * Invariants: over any time, what is taken before the bucket says no is the burst and what came meanwhile, and not a token more, whatever
 * the pieces in which time passes; tokens, times and what is owed are integers. Its memory is four bytes twice, which threads may share:
 * they take from one bucket, and time is counted once.
 */

/** Words of one bucket. */
export const BUCKET_WORDS = 2;
export const MOST_BURST = 2 ** 30;
/** More is not owed, so that a word holds it. */
const MOST_DEBT = 2 ** 30;
/** How far the clock of one thread may seem behind that of another. */
const BEHIND_MILLIS = 60_000;
const WRAP = 2 ** 32;

export interface TokenRate {
  readonly perSecond: number;
  /** At most MOST_BURST. */
  readonly burst: number;
}

export class TokenBucket {
  readonly #words: Int32Array;
  /** Where its balance is; behind it is the time up to which tokens have come, modulo 2^32. */
  readonly #at: number;
  readonly #rate: TokenRate;

  constructor(words: Int32Array, at: number, rate: TokenRate) {
    this.#words = words;
    this.#at = at;
    this.#rate = rate;
  }

  /** Begins full. Once, by whoever makes the memory. */
  fill(now: number): void {
    Atomics.store(this.#words, this.#at, this.#rate.burst);
    Atomics.store(this.#words, this.#at + 1, Math.floor(now) | 0);
  }

  /** Tokens that are there, as of the last `refill`; what is owed, if it is negative. */
  get balance(): number {
    return Atomics.load(this.#words, this.#at);
  }

  get isFull(): boolean {
    return this.balance >= this.#rate.burst;
  }

  /** Takes in what has come until `now`; returns whether anything may be used. */
  refill(now: number): boolean {
    const words = this.#words;
    const until = Math.floor(now) | 0;
    const since = Atomics.load(words, this.#at + 1);
    const millis = (until - since) >>> 0;
    // Another thread may have been here with a clock that is a little ahead, or may have counted this time already.
    const isNews = millis > 0 && millis < WRAP - BEHIND_MILLIS;
    if (isNews && Atomics.compareExchange(words, this.#at + 1, since, until) === since) {
      this.#add(this.#cameBy((since >>> 0) + millis) - this.#cameBy(since >>> 0));
    }
    return this.balance > 0;
  }

  /** What was used. What came before is taken in first: beyond the burst it is nobody's. */
  take(tokens: number, now: number): void {
    this.refill(now);
    if (tokens > 0) this.#add(-tokens);
  }

  /** How long until something may be used, as of the last `refill`, if nothing more is taken. */
  get waitMillis(): number {
    const missing = 1 - this.balance;
    return missing <= 0 ? 0 : Math.ceil((missing * 1000) / this.#rate.perSecond);
  }

  /** Tokens from the beginning of time on: differences of these lose no part of one. */
  #cameBy(millis: number): number {
    return Math.floor((millis * this.#rate.perSecond) / 1000);
  }

  #add(tokens: number): void {
    const words = this.#words;
    for (let balance = this.balance; ; ) {
      const next = Math.max(-MOST_DEBT, Math.min(this.#rate.burst, balance + tokens));
      const found = Atomics.compareExchange(words, this.#at, balance, next);
      if (found === balance) return;
      balance = found;
    }
  }
}
