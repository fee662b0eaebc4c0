/** Makes a failing life shorter: the fewest steps after which it still fails. */
import { shortestFailure } from '../shortest-failure.js';
import { runSeed } from './run-seed.js';

const MAX_STEPS = 3000;

export async function shrink(
  seed: number,
  failure: string,
  budgetMillis: number,
): Promise<{ scenario: object; failure: string }> {
  const found = await shortestFailure(MAX_STEPS, (steps) => runSeed(seed, steps), failure, budgetMillis);
  return { scenario: { seed, steps: found.steps }, failure: found.failure };
}
