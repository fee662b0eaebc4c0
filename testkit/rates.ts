/** What tests of rates need: a clock that they move, and identities. */
import type { Clock, ClockTimer } from '../src/connection/common/clock.js';
import type { TimerOwner } from '../src/connection/common/timer-wheel.js';
import type { PeerIdentity } from '../src/session/peer-identity.js';

export class ManualClock implements Clock {
  #now = 1000;
  readonly #timers = new Map<() => void, number>();

  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  timer(owner: TimerOwner): ClockTimer {
    const timers = this.#timers;
    const run = (): void => owner.onTimer();
    return {
      get isSet() {
        return timers.has(run);
      },
      set: (delayMillis) => void timers.set(run, this.#now + delayMillis),
      stop: () => void timers.delete(run),
    };
  }

  /** As for a thread that is busy: no timer is called. */
  pass(millis: number): void {
    this.#now += millis;
  }

  /** Timers that are due meanwhile are called at their time. */
  advance(millis: number): void {
    const until = this.#now + millis;
    for (;;) {
      const next = [...this.#timers].sort(([, a], [, b]) => a - b)[0];
      if (next === undefined || next[1] > until) break;
      this.#timers.delete(next[0]);
      this.#now = Math.max(this.#now, next[1]);
      next[0]();
    }
    this.#now = until;
  }
}

export const certificateOf = (name: string): PeerIdentity => ({
  subject: `CN=${name}`,
  fingerprint256: name,
  sans: [],
});
