/** Runs one life of two rsocket machines, or the beginning of it, and tells what came of it. */
import { liveRsocket } from '../../../testkit/rsocket-life.js';
import type { SeedResult } from '../run-seed.js';

/** At least as many steps as any life has. */
const WHOLE = Number.POSITIVE_INFINITY;

export function runSeed(seed: number, maxSteps = WHOLE): SeedResult {
  try {
    const { messages, marks } = liveRsocket(seed, maxSteps);
    return { seed, failure: null, packets: messages, marks };
  } catch (error) {
    return { seed, failure: (error as Error).stack ?? String(error), packets: 0, marks: new Map() };
  }
}
