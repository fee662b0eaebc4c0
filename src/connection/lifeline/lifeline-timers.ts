/** The timers of a connection's life, in one table: each runs once or not at all. Times are milliseconds of the caller. */

/** Those that expire together run in this order: an end comes before a question to the peer. */
export const LifelineTimer = {
  /** What the data path says of a request may come until then. */
  LAST_ANSWERS: 0,
  /** An orderly end in which nothing moves becomes an abrupt one. */
  QUIT: 1,
  /** The next attempt to recover begins. */
  PAUSE: 2,
  /** The time for recovery is over. */
  RECOVERY: 3,
  /** The session over the channel of before does not come to its end: another channel is needed. */
  OLD_RENDEZVOUS: 4,
  /** Ask a silent peer whether it is there. */
  KEEP_ALIVE: 5,
} as const;
export type LifelineTimer = (typeof LifelineTimer)[keyof typeof LifelineTimer];

const TIMERS: readonly LifelineTimer[] = Object.values(LifelineTimer);

export class LifelineTimers {
  readonly #deadlines: number[] = TIMERS.map(() => Number.POSITIVE_INFINITY);
  /** Kept, as it is asked for whenever anything happens. */
  #soonest = Number.POSITIVE_INFINITY;

  set(timer: LifelineTimer, at: number): void {
    this.#deadlines[timer] = at;
    this.#findSoonest();
  }

  stop(...timers: readonly LifelineTimer[]): void {
    for (const timer of timers) this.#deadlines[timer] = Number.POSITIVE_INFINITY;
    this.#findSoonest();
  }

  stopAll(): void {
    this.stop(...TIMERS);
  }

  /** When the next one expires; infinity when none runs. */
  next(): number {
    return this.#soonest;
  }

  /** Takes out one that has expired. */
  takeExpired(now: number): LifelineTimer | undefined {
    if (this.#soonest > now) return undefined;
    const timer = TIMERS.find((timer) => (this.#deadlines[timer] as number) <= now);
    if (timer !== undefined) this.set(timer, Number.POSITIVE_INFINITY);
    return timer;
  }

  #findSoonest(): void {
    let soonest = Number.POSITIVE_INFINITY;
    for (const deadline of this.#deadlines) if (deadline < soonest) soonest = deadline;
    this.#soonest = soonest;
  }
}
