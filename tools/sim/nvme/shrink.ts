/** Makes a failing life shorter: the fewest calls with which it still fails. */
import { runSeed } from './run-seed.js';

const MAX_CALLS = 120;

export async function shrink(
  seed: number,
  failure: string,
  budgetMillis: number,
): Promise<{ scenario: object; failure: string }> {
  const deadline = performance.now() + budgetMillis;
  for (let calls = 0; calls < MAX_CALLS && performance.now() < deadline; calls++) {
    const result = await runSeed(seed, calls);
    if (result.failure !== null) return { scenario: { seed, calls }, failure: result.failure };
  }
  return { scenario: { seed, calls: MAX_CALLS }, failure };
}
