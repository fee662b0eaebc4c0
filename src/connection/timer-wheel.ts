/**
 * Timers of thousands of connections: those that are due within one tick share one timer of Node, and are called together,
 * so that what they send leaves together as well.
 *
 * Invariants: none is called early, nor later than a tick, as far as the event loop lets it; each is called once or not at
 * all; one that throws takes no other with it. They do not keep the process alive. Where a tick is further away than timers of Node
 * reach, its timers are called when theirs ends.
 */
import { tell } from '../verbs/listeners.js';
import { MAX_MILLIS } from '../verbs/option-check.js';

interface Tick {
  readonly timer: NodeJS.Timeout;
  readonly due: Set<Due>;
}

interface Due {
  readonly expired: () => void;
}

export class TimerWheel {
  readonly #tickMillis: number;
  readonly #now: () => number;
  /** By the number of the tick. */
  readonly #ticks = new Map<number, Tick>();

  constructor(tickMillis: number, now: () => number = () => performance.now()) {
    this.#tickMillis = tickMillis;
    this.#now = now;
  }

  /** Timers of Node that run. */
  get ticks(): number {
    return this.#ticks.size;
  }

  /** Calls `expired` when `delayMillis` are over; the function that it returns prevents that. */
  set(delayMillis: number, expired: () => void): () => void {
    const now = this.#now();
    const number = Math.ceil((now + delayMillis) / this.#tickMillis);
    const tick = this.#ticks.get(number) ?? this.#begin(number, now);
    const due: Due = { expired };
    tick.due.add(due);
    return () => {
      if (!tick.due.delete(due) || tick.due.size > 0) return;
      clearTimeout(tick.timer);
      this.#forget(number, tick);
    };
  }

  #begin(number: number, now: number): Tick {
    // Node takes a longer one for 1 ms.
    const delayMillis = Math.min(Math.ceil(number * this.#tickMillis - now), MAX_MILLIS);
    const timer = setTimeout(() => this.#end(number, tick), delayMillis).unref();
    const tick: Tick = { timer, due: new Set() };
    this.#ticks.set(number, tick);
    return tick;
  }

  #end(number: number, tick: Tick): void {
    this.#forget(number, tick);
    // One that is stopped by another of this tick is no longer in the set by the time its turn comes.
    for (const due of tick.due) {
      tick.due.delete(due);
      tell(due.expired, undefined);
    }
  }

  /** While the timers of a tick are called, one of them may have begun another of its number. */
  #forget(number: number, tick: Tick): void {
    if (this.#ticks.get(number) === tick) this.#ticks.delete(number);
  }
}
