/** Makes a failing life shorter: the fewest of its steps after which it still fails. */
export interface ShortestFailure {
  readonly steps: number;
  readonly failure: string;
}

/** `run` lives so many steps of it, `most` at most; `failure` is what the whole life ended with. */
export async function shortestFailure(
  most: number,
  run: (steps: number) => { failure: string | null } | Promise<{ failure: string | null }>,
  failure: string,
  budgetMillis: number,
): Promise<ShortestFailure> {
  const deadline = performance.now() + budgetMillis;
  for (let steps = 0; steps < most && performance.now() < deadline; steps++) {
    const result = await run(steps);
    if (result.failure !== null) return { steps, failure: result.failure };
  }
  return { steps: most, failure };
}
