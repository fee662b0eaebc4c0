/**
 * Measures while a peer runs. Nothing is allocated after construction: reading the clock once a batch is the only cost.
 */
import { DurationSample } from '../../../src/cli/bench/distribution.js';
import type { Load, PeerResult } from '../peer-protocol.js';

const MICROS_PER_MILLI = 1000;
const BYTES_PER_MB = 1e6;

/** Round trips in batches: one batch is one sample, the mean of its round trips. */
export class RoundTripRecorder {
  readonly total: number;
  readonly #batch: number;
  readonly #warmup: number;
  readonly #samples = new DurationSample();
  #done = 0;
  #inBatch = 0;
  #since = 0;

  constructor(load: Load) {
    this.total = load.warmup + load.count;
    this.#batch = load.batch;
    this.#warmup = load.warmup;
  }

  /** One round trip is over. Returns whether it was the last. */
  tick(): boolean {
    this.#done++;
    if (this.#done <= this.#warmup) {
      if (this.#done === this.#warmup) this.#since = performance.now();
      return false;
    }
    if (++this.#inBatch === this.#batch) {
      const now = performance.now();
      this.#samples.add((now - this.#since) / this.#batch);
      this.#since = now;
      this.#inBatch = 0;
    }
    return this.#done === this.total;
  }

  /** µs. */
  result(): PeerResult {
    const { medianMillis, p99Millis } = this.#samples;
    return { value: medianMillis * MICROS_PER_MILLI, p99: p99Millis * MICROS_PER_MILLI };
  }
}

/** Messages that went one way. */
export class FlowRecorder {
  readonly total: number;
  readonly #load: Load;
  #done = 0;
  #since = 0;
  #until = 0;

  constructor(load: Load) {
    this.#load = load;
    this.total = load.warmup + load.count;
  }

  /** So many more messages have arrived. Returns whether all have. */
  add(messages: number): boolean {
    const before = this.#done;
    this.#done += messages;
    const { warmup } = this.#load;
    if (before < warmup && this.#done >= warmup) this.#since = performance.now();
    if (this.#done < this.total) return false;
    this.#until = performance.now();
    return true;
  }

  /** MB (10^6 bytes) a second. */
  bandwidth(): PeerResult {
    return { value: (this.messagesPerSecond().value * this.#load.bytes) / BYTES_PER_MB };
  }

  messagesPerSecond(): PeerResult {
    return { value: (this.#load.count * 1000) / (this.#until - this.#since) };
  }
}
