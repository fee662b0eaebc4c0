/** Runs one life of an NVMe host, or the beginning of it, and tells what came of it. */
import { liveNvmeHost } from '../../../testkit/nvme-host-life.js';
import type { SeedResult } from '../run-seed.js';

/** At least as many calls as any life has. */
const WHOLE = Number.POSITIVE_INFINITY;

export async function runSeed(seed: number, maxCalls = WHOLE): Promise<SeedResult> {
  try {
    const { commands, marks } = await liveNvmeHost(seed, maxCalls);
    return { seed, failure: null, packets: commands, marks };
  } catch (error) {
    return { seed, failure: (error as Error).stack ?? String(error), packets: 0, marks: new Map() };
  }
}
