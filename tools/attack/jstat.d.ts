/** The part of jstat that the attack suite uses; the package has no types of its own. */
declare module 'jstat' {
  const jStat: {
    readonly binomial: {
      /** The probability of at most `k` successes in `n` tries that succeed with `p` each; 0 below 0. Good to 1e-9. */
      cdf(k: number, n: number, p: number): number;
    };
  };
  export default jStat;
}
