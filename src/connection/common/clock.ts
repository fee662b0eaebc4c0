/** Where a connection gets its time from: the machine's clock, or that of a simulation. */
import { type TimerOwner, TimerWheel, WheelTimer } from './timer-wheel.js';

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** A timer that calls `owner`, once for each time that it is set. */
  timer(owner: TimerOwner): ClockTimer;
}

export interface ClockTimer {
  /** It will be called. */
  readonly isSet: boolean;
  /** It is called when `delayMillis` are over, and not when it was to be called before. */
  set(delayMillis: number): void;
  /** It is not called. Idempotent. */
  stop(): void;
}

/** The clocks of threads begin with their threads: when this one's did, by the clock of the machine. Milliseconds. */
export const threadBeganAt = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Timers of a second and more may be a little late: those of all connections share few timers of Node. */
const COARSE_MILLIS = 1000;
const wheel = new TimerWheel(200);

/** Its timers do not keep the process alive: connections do. */
export const systemClock: Clock = {
  now: () => performance.now(),
  timer: (owner) => new SystemTimer(owner),
};

class SystemTimer extends WheelTimer implements ClockTimer {
  #fine: NodeJS.Timeout | undefined;

  get isSet(): boolean {
    return this.tick !== null || this.#fine !== undefined;
  }

  set(delayMillis: number): void {
    this.#stopFine();
    if (delayMillis >= COARSE_MILLIS) {
      wheel.set(this, delayMillis);
      return;
    }
    wheel.stop(this);
    this.#fine = setTimeout(() => this.#end(), delayMillis).unref();
  }

  stop(): void {
    wheel.stop(this);
    this.#stopFine();
  }

  #stopFine(): void {
    if (this.#fine === undefined) return;
    clearTimeout(this.#fine);
    this.#fine = undefined;
  }

  #end(): void {
    this.#fine = undefined;
    this.owner.onTimer();
  }
}
