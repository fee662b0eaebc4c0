/** Runs one scenario of connections and tells what came of it. */
import { SimFailure } from '../failure.js';
import type { SeedResult } from '../run-seed.js';
import { generateScenario } from './generate.js';
import type { Scenario } from './scenario.js';
import { World } from './world.js';

export async function runScenario(scenario: Scenario, trace?: (line: string) => void): Promise<SeedResult> {
  const { seed } = scenario;
  const world = new World(scenario, trace);
  try {
    await world.run();
    return { seed, failure: null, packets: world.network.packets, marks: world.marks.counts };
  } catch (error) {
    const failure =
      error instanceof SimFailure ? error.message : `exception: ${(error as Error).stack ?? String(error)}`;
    return {
      seed,
      failure: `${failure} [at ${world.time.now.toFixed(2)} ms]`,
      packets: world.network.packets,
      marks: new Map(),
    };
  }
}

export const runSeed = (seed: number): Promise<SeedResult> => runScenario(generateScenario(seed));
