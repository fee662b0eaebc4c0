/** Where a connection gets its time from: the machine's clock, or that of a simulation. */

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** Calls `expired` once, when `delayMillis` are over; the function that it returns prevents that. */
  setTimer(delayMillis: number, expired: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(delayMillis, expired) {
    const timer = setTimeout(expired, delayMillis);
    return () => clearTimeout(timer);
  },
};
