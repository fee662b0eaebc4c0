/** What a sample of times looks like. Nothing here assumes a shape: latencies have long tails. */

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

/** Percentiles are values of the sample (nearest rank). The sample must not be empty; it is sorted in place. */
export function distributionOf(sample: Float64Array): Distribution {
  sample.sort();
  const at = (fraction: number): number =>
    sample[Math.max(0, Math.ceil(fraction * sample.length) - 1)] ?? Number.NaN;
  let sum = 0;
  for (const value of sample) sum += value;
  const mean = sum / sample.length;
  let squares = 0;
  for (const value of sample) squares += (value - mean) ** 2;
  return {
    min: at(0),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max: at(1),
    mean,
    deviation: Math.sqrt(squares / sample.length),
  };
}
