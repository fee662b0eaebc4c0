/** Runs one scenario and tells what came of it. */
import { SimFailure } from './failure.js';
import { generateScenario } from './generate.js';
import type { Scenario } from './scenario.js';
import { World } from './world.js';

export interface SeedResult {
  readonly seed: number;
  /** `null` when all promises were kept. */
  readonly failure: string | null;
  readonly packets: number;
  readonly marks: ReadonlyMap<string, number>;
}

export function runScenario(scenario: Scenario): SeedResult {
  const { seed } = scenario;
  let world: World | null = null;
  try {
    world = new World(scenario);
    world.run();
    return { seed, failure: null, packets: world.network.packets, marks: world.marks.counts };
  } catch (error) {
    // An exception out of the engine is as much of a failure as a broken promise.
    const failure =
      error instanceof SimFailure ? error.message : `exception: ${(error as Error).stack ?? String(error)}`;
    return {
      seed,
      failure: `${failure} [at ${world?.now.toFixed(1)} µs]`,
      packets: world?.network.packets ?? 0,
      marks: new Map(),
    };
  }
}

export const runSeed = (seed: number): SeedResult => runScenario(generateScenario(seed));
