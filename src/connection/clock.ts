/** Where a connection gets its time from: the machine's clock, or that of a simulation. */
import { TimerWheel } from './timer-wheel.js';

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** Calls `expired` once, when `delayMillis` are over; the function that it returns prevents that. */
  setTimer(delayMillis: number, expired: () => void): () => void;
}

/** The clocks of threads begin with their threads: when this one's did, by the clock of the machine. Milliseconds. */
export const threadBeganAt = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Timers of a second and more may be a little late: those of all connections share few timers of Node. */
const COARSE_MILLIS = 1000;
const wheel = new TimerWheel(200);

/** Its timers do not keep the process alive: connections do. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(delayMillis, expired) {
    if (delayMillis >= COARSE_MILLIS) return wheel.set(delayMillis, expired);
    const timer = setTimeout(expired, delayMillis).unref();
    return () => clearTimeout(timer);
  },
};
