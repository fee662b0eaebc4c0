/** Runs one scenario of communication managers and tells what came of it. */
import { SimFailure } from '../failure.js';
import type { SeedResult } from '../run-seed.js';
import { generateScenario } from './generate.js';
import type { Scenario } from './scenario.js';
import { World } from './world.js';

export function runScenario(scenario: Scenario, trace?: (line: string) => void): SeedResult {
  const { seed } = scenario;
  const world = new World(scenario, trace);
  try {
    world.run();
    return { seed, failure: null, packets: world.packets, marks: world.marks.counts };
  } catch (error) {
    const failure =
      error instanceof SimFailure ? error.message : `exception: ${(error as Error).stack ?? String(error)}`;
    const at = `[at ${world.now.toFixed(2)} ms]`;
    return { seed, failure: `${failure} ${at}`, packets: world.packets, marks: new Map() };
  }
}

export const runSeed = (seed: number): SeedResult => runScenario(generateScenario(seed));
