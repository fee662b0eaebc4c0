/**
 * Finds out that a connection has been idle for a while, so that it can give back what it needs only when it is not. One that
 * has been silent for long costs nothing.
 */
import type { Clock, ClockTimer } from '../common/clock.js';
import type { TimerOwner } from '../common/timer-wheel.js';

const IDLE_MILLIS = 5000;

export interface IdleWatchOptions {
  readonly clock: Clock;
  /** A number that changes whenever something is sent or received. */
  readonly progress: () => number;
  /** It has been idle since it was looked at before. Returns whether it must be looked at again, even if it stays so. */
  readonly onIdle: () => boolean;
}

export class IdleWatch implements TimerOwner {
  readonly #options: IdleWatchOptions;
  #timer: ClockTimer | null = null;
  #seen = 0;
  #isOver = false;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  /** Something is going on. */
  note(): void {
    if (this.#timer?.isSet !== true && !this.#isOver) this.#begin();
  }

  /** There is nothing to be watched any more. Idempotent. */
  end(): void {
    this.#isOver = true;
    this.#timer?.stop();
  }

  #begin(): void {
    this.#seen = this.#options.progress();
    this.#timer ??= this.#options.clock.timer(this);
    this.#timer.set(IDLE_MILLIS);
  }

  onTimer(): void {
    const isIdle = this.#options.progress() === this.#seen;
    if ((!isIdle || this.#options.onIdle()) && !this.#isOver) this.#begin();
  }
}
