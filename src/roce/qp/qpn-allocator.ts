/**
 * Queue pair numbers: random 24-bit numbers, so that none tells the next. A number that was given back rests before
 * it is used again, because late packets of its old queue pair may still be under way.
 */
import { invariant } from '../../verbs/invariant.js';
import type { RandomU32 } from '../random.js';

const REST_MICROS = 60_000_000;
/** 0 and 1 are for management, the highest one for multicast. */
const LOWEST = 2;
const HIGHEST = 0xfffffe;

export class QpnAllocator {
  readonly #random: RandomU32;
  readonly #used = new Set<number>();
  /** In the order in which they were given back; the value is the time until which each rests. */
  readonly #resting = new Map<number, number>();

  constructor(random: RandomU32) {
    this.#random = random;
  }

  allocate(now: number): number {
    this.#wake(now);
    for (;;) {
      const qpn = this.#random() & 0xffffff;
      if (qpn < LOWEST || qpn > HIGHEST || this.#used.has(qpn) || this.#resting.has(qpn)) continue;
      INVARIANT: invariant(!this.#resting.has(qpn), 'a number rests before it is used again');
      this.#used.add(qpn);
      return qpn;
    }
  }

  release(qpn: number, now: number): void {
    this.#wake(now);
    INVARIANT: invariant(this.#used.has(qpn), 'a queue pair number is given back once');
    if (this.#used.delete(qpn)) this.#resting.set(qpn, now + REST_MICROS);
  }

  #wake(now: number): void {
    for (const [qpn, until] of this.#resting) {
      if (until > now) break;
      this.#resting.delete(qpn);
    }
  }
}
