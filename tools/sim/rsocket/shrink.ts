/** Makes a failing life shorter: the fewest steps after which it still fails. */
import { runSeed } from './run-seed.js';

const MAX_STEPS = 3000;

export async function shrink(
  seed: number,
  failure: string,
  budgetMillis: number,
): Promise<{ scenario: object; failure: string }> {
  const deadline = performance.now() + budgetMillis;
  let found = { scenario: { seed, steps: MAX_STEPS }, failure };
  for (let steps = 0; steps < MAX_STEPS && performance.now() < deadline; steps++) {
    const result = runSeed(seed, steps);
    if (result.failure === null) continue;
    found = { scenario: { seed, steps }, failure: result.failure };
    break;
  }
  return found;
}
