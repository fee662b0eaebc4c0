/**
 * One direction of one identity in this thread: takes what its connections have used from the buckets, and has those wait that would use
 * more while a bucket owes. One timer for all that wait.
 *
 * Invariants: who waits is called when the buckets owe nothing, one after the other, as far as those before leave something; who is called
 * and must wait again waits behind the others. Nobody is called who has been forgotten.
 */

import type { TokenBucket } from '../../session/token-bucket.js';
import type { Clock, ClockTimer } from '../common/clock.js';
import type { TimerOwner } from '../common/timer-wheel.js';

/** Somebody who may have to wait. */
export interface Held {
  /** It may go on; it must ask again. */
  onOpen(): void;
}

/** Counters of a gate: how often somebody had to wait, and for how many milliseconds, in all threads together. Modulo 2^32. */
export const GATE_COUNTERS = 2;

export interface RateGateOptions {
  /** Of bytes and of messages, as far as they are bounded. */
  readonly bytes: TokenBucket | null;
  readonly messages: TokenBucket | null;
  readonly clock: Clock;
  /** The counters, from `countersAt` on. */
  readonly words: Int32Array;
  readonly countersAt: number;
}

export class RateGate implements TimerOwner {
  readonly #options: RateGateOptions;
  readonly #held = new Set<Held>();
  readonly #timer: ClockTimer;
  #heldSince = 0;

  constructor(options: RateGateOptions) {
    this.#options = options;
    this.#timer = options.clock.timer(this);
  }

  /** Was sent or has arrived. */
  charge(bytes: number, messages: number): void {
    const now = this.#options.clock.now();
    this.#options.bytes?.take(bytes, now);
    this.#options.messages?.take(messages, now);
  }

  /** Whether it may go on; else it is called when it may. */
  admits(held: Held): boolean {
    if (this.#isOpen()) return true;
    const { clock, words, countersAt } = this.#options;
    if (this.#held.size === 0) {
      Atomics.add(words, countersAt, 1);
      this.#heldSince = clock.now();
    }
    this.#held.add(held);
    this.#wait();
    return false;
  }

  /** It waits no longer. */
  forget(held: Held): void {
    if (!this.#held.delete(held) || this.#held.size > 0) return;
    this.#timer.stop();
    this.#countTime();
  }

  #isOpen(): boolean {
    const { bytes, messages, clock } = this.#options;
    const now = clock.now();
    const hasBytes = bytes?.refill(now) ?? true;
    const hasMessages = messages?.refill(now) ?? true;
    return hasBytes && hasMessages;
  }

  #wait(): void {
    if (this.#timer.isSet || this.#held.size === 0) return;
    const { bytes, messages } = this.#options;
    this.#timer.set(Math.max(1, bytes?.waitMillis ?? 0, messages?.waitMillis ?? 0));
  }

  onTimer(): void {
    while (this.#held.size > 0 && this.#isOpen()) {
      const [first] = this.#held;
      if (first === undefined) break;
      this.#held.delete(first);
      if (this.#held.size === 0) this.#countTime();
      first.onOpen();
    }
    this.#wait();
  }

  #countTime(): void {
    const { clock, words, countersAt } = this.#options;
    Atomics.add(words, countersAt + 1, Math.round(clock.now() - this.#heldSince));
  }
}
