/**
 * What a sample of durations looks like. Nothing here assumes a shape: latencies have long tails.
 *
 * A sample is kept as a histogram, so that it takes the same few megabytes whether a thousand or 10^9 durations come.
 * Percentiles are therefore exact to one part in 10,000 (and to the nanosecond); least, greatest, mean and deviation are
 * exact.
 */
import { createHistogram } from 'node:perf_hooks';

/** All in one unit. */
export interface Distribution {
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
  readonly deviation: number;
}

const SIGNIFICANT_FIGURES = 4;
const NANOS_PER_MILLI = 1e6;
const NANOS_PER_MICRO = 1e3;

export class DurationSample {
  readonly #histogram = createHistogram({ figures: SIGNIFICANT_FIGURES });
  #count = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;
  #mean = 0;
  /** Sum of the squares of the distances from the mean. */
  #squares = 0;

  /** Durations as differences of `performance.now()` are. */
  add(millis: number): void {
    const nanos = millis * NANOS_PER_MILLI;
    // The histogram begins at 1.
    this.#histogram.record(Math.max(1, Math.round(nanos)));
    this.#count++;
    if (nanos < this.#min) this.#min = nanos;
    if (nanos > this.#max) this.#max = nanos;
    const distance = nanos - this.#mean;
    this.#mean += distance / this.#count;
    this.#squares += distance * (nanos - this.#mean);
  }

  /** In milliseconds, the duration that half of the sample does not exceed; NaN without any. */
  get medianMillis(): number {
    return this.#percentile(50) / NANOS_PER_MILLI;
  }

  /** In milliseconds; NaN without any. */
  get p99Millis(): number {
    return this.#percentile(99) / NANOS_PER_MILLI;
  }

  /** In microseconds; the sample must not be empty. */
  micros(): Distribution {
    return {
      min: this.#min / NANOS_PER_MICRO,
      p50: this.#percentile(50) / NANOS_PER_MICRO,
      p90: this.#percentile(90) / NANOS_PER_MICRO,
      p99: this.#percentile(99) / NANOS_PER_MICRO,
      p999: this.#percentile(99.9) / NANOS_PER_MICRO,
      max: this.#max / NANOS_PER_MICRO,
      mean: this.#mean / NANOS_PER_MICRO,
      deviation: Math.sqrt(this.#squares / this.#count) / NANOS_PER_MICRO,
    };
  }

  #percentile(percent: number): number {
    if (this.#count === 0) return Number.NaN;
    // The histogram names the upper end of a step, which may lie above every duration in it.
    return Math.max(this.#min, Math.min(this.#max, this.#histogram.percentile(percent)));
  }
}
