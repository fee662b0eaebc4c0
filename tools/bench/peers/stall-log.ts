/**
 * Notes the turns of a polling loop that took long, and what held each up: the kernel, which gave the processor to others (it counts how
 * long a thread was ready and waited), V8's collector, or something that neither knows of: compiled code that was thrown
 * away, interrupts, the hypervisor. Reading what the kernel counts takes longer than a turn, so it is read after a stall.
 */
import { openSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** A turn that takes so long has been held up: a look for packets takes 1 to 2 µs, and one that finds something 5. */
const STALL_MICROS = 20;
const MICROS_PER_MILLI = 1000;
const NANOS_PER_MICRO = 1000;
const MESSAGES = 1000;
/** Until V8 has told of its collections. */
const OBSERVER_MILLIS = 20;

interface Stall {
  /** ms of `performance.now()`. */
  readonly from: number;
  readonly to: number;
  /** ms that the kernel let this thread wait for a processor. */
  readonly waited: number;
}

export class StallLog {
  readonly #stalls: Stall[] = [];
  readonly #collections: { readonly from: number; readonly to: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      this.#collections.push({ from: startTime, to: startTime + duration });
    }
  });
  readonly #waiting = new WaitingTime();
  #turnBegan = performance.now();
  #counts = false;

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** A turn is over. `counts`: the warm-up is. */
  noteTurn(counts: boolean): void {
    const now = performance.now();
    if ((now - this.#turnBegan) * MICROS_PER_MILLI < STALL_MICROS && counts === this.#counts) {
      this.#turnBegan = now;
      return;
    }
    const waited = this.#waiting.millisSinceLast();
    if (this.#counts) this.#stalls.push({ from: this.#turnBegan, to: now, waited });
    this.#counts = counts;
    this.#turnBegan = performance.now();
  }

  /** µs of stalls a thousand messages, by cause, and how many there were. */
  async microsPerThousand(messages: number): Promise<Record<string, number>> {
    await sleep(OBSERVER_MILLIS);
    this.#observer.disconnect();
    let preempted = 0;
    let collecting = 0;
    let unknown = 0;
    for (const { from, to, waited } of this.#stalls) {
      const rest = Math.max(0, to - from - waited);
      const collected = Math.min(rest, this.#collectingIn(from, to));
      preempted += Math.min(waited, to - from);
      collecting += collected;
      unknown += rest - collected;
    }
    const perThousand = (millis: number) => (millis * MICROS_PER_MILLI * MESSAGES) / messages;
    return {
      'stalls a 1000': (this.#stalls.length * MESSAGES) / messages,
      'processor taken': perThousand(preempted),
      'garbage collection': perThousand(collecting),
      'neither of these': perThousand(unknown),
    };
  }

  #collectingIn(from: number, to: number): number {
    let sum = 0;
    for (const other of this.#collections) {
      sum += Math.max(0, Math.min(to, other.to) - Math.max(from, other.from));
    }
    return sum;
  }
}

/** How long the main thread was ready to run and did not. */
class WaitingTime {
  readonly #text = Buffer.alloc(128);
  readonly #fd = openSync('/proc/self/schedstat', 'r');
  #nanos = this.#read();

  millisSinceLast(): number {
    const before = this.#nanos;
    this.#nanos = this.#read();
    return (this.#nanos - before) / NANOS_PER_MICRO / MICROS_PER_MILLI;
  }

  #read(): number {
    const length = readSync(this.#fd, this.#text, 0, this.#text.length, 0);
    return Number(this.#text.toString('latin1', 0, length).split(' ')[1]);
  }
}
