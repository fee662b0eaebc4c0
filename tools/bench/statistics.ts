/** What a handful of rounds says. Nothing here assumes a distribution: benchmarks have long tails. */

/** The middle value, or the mean of the two middle ones. NaN for an empty sample. */
export function median(sample: ArrayLike<number>): number {
  const sorted = Float64Array.from(sample).sort();
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface Spread {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
}

/** What is reported of one subject: the median of its rounds, and how far apart they were. */
export function spreadOf(rounds: ArrayLike<number>): Spread {
  const sorted = Float64Array.from(rounds).sort();
  return {
    value: median(sorted),
    low: sorted[0] ?? Number.NaN,
    high: sorted[sorted.length - 1] ?? Number.NaN,
    rounds: sorted.length,
  };
}
