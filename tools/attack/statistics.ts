/** Whether what was counted is what theory expects. */
import jStat from 'jstat';

/**
 * What chance is given on each side: one honest run in 100,000 falls outside. The tails are those of the distributions
 * themselves, since the hits that are expected are often fewer than one, where a normal bound would refuse one honest
 * run in some hundred.
 */
const CHANCE = 1e-5;
/** About the same of a mean, in standard deviations on either side. */
const DEVIATIONS = 4.2;

/** The probability of fewer than `hits` in `tries` independent tries that succeed with `probability` each. */
const probabilityOfFewer = (hits: number, tries: number, probability: number): number =>
  jStat.binomial.cdf(hits - 1, tries, probability);

/** Whether `hits` fits `tries` independent tries that succeed with `probability` each. */
export function fitsBinomial(hits: number, tries: number, probability: number): boolean {
  return (
    probabilityOfFewer(hits + 1, tries, probability) >= CHANCE &&
    1 - probabilityOfFewer(hits, tries, probability) >= CHANCE
  );
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
  // The last success comes after `tries` tries or later exactly when fewer than `runs` came in those before.
  return (
    probabilityOfFewer(runs, tries - 1, probability) >= CHANCE &&
    1 - probabilityOfFewer(runs, tries, probability) >= CHANCE
  );
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
