/** Makes a failing life shorter: the fewest calls with which it still fails. */
import { shortestFailure } from '../shortest-failure.js';
import { runSeed } from './run-seed.js';

const MAX_CALLS = 120;

export async function shrink(
  seed: number,
  failure: string,
  budgetMillis: number,
): Promise<{ scenario: object; failure: string }> {
  const found = await shortestFailure(MAX_CALLS, (calls) => runSeed(seed, calls), failure, budgetMillis);
  return { scenario: { seed, calls: found.steps }, failure: found.failure };
}
