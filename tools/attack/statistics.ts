/** Whether what was counted is what theory expects. */

/** Standard deviations that chance is given: one honest run in 15,000 falls outside of 4. */
const DEVIATIONS = 4;

/** Whether `hits` fits `tries` independent tries that succeed with `probability` each. */
export function fitsBinomial(hits: number, tries: number, probability: number): boolean {
  const expected = tries * probability;
  const deviation = Math.sqrt(tries * probability * (1 - probability));
  // Below a handful of hits the normal bound is too tight: a single hit may always be chance.
  return Math.abs(hits - expected) <= Math.max(DEVIATIONS * deviation, 1);
}

/**
 * Whether the mean of `runs` sweeps through a shuffled space of `size` places, each until it finds the one place that
 * counts, is the mean of a uniform place: (size + 1) / 2.
 */
export function fitsUniformMean(mean: number, runs: number, size: number): boolean {
  const deviation = size / Math.sqrt(12 * runs);
  return Math.abs(mean - (size + 1) / 2) <= DEVIATIONS * deviation;
}

/** Whether `runs` successes after `tries` independent tries of `probability` each are no surprise (waiting times). */
export function fitsWaiting(tries: number, runs: number, probability: number): boolean {
  const deviation = Math.sqrt(runs * (1 - probability)) / probability;
  return Math.abs(tries - runs / probability) <= DEVIATIONS * deviation;
}

/** `93 s`, `6.2 h`, `37 years`. */
export function duration(seconds: number): string {
  const units: readonly (readonly [string, number])[] = [
    ['years', 365.25 * 86_400],
    ['days', 86_400],
    ['h', 3600],
    ['min', 60],
  ];
  const unit = units.find(([, size]) => seconds >= 2 * size);
  return unit === undefined ? `${rounded(seconds)} s` : `${rounded(seconds / unit[1])} ${unit[0]}`;
}

/** Three digits that mean something. */
export const rounded = (value: number): string => {
  if (Math.abs(value) >= 1e6) return value.toExponential(1);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
};
