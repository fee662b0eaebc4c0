/** A thread that fuzzes one target, with the fault that was planted beside it, until something is found. */
import { parentPort, workerData } from 'node:worker_threads';
import { Campaign } from '../campaign.js';
import { Coverage } from '../coverage.js';
import { watchForStrays } from '../strays.js';
import type { CatalogEntry, Target } from '../target.js';
import { TARGETS } from '../targets.js';

export interface PlantedJob {
  readonly target: string;
  readonly count: number;
  readonly seed: number;
}

export interface PlantedResult {
  /** Hostile things that were tried until then. */
  readonly count: number;
  readonly inputs: number;
  /** What the target said; `null` = nothing was found. */
  readonly message: string | null;
}

const { target: name, count, seed } = workerData as PlantedJob;
const tried = { count: 0, inputs: 0 };
let isFound = false;
function finish(message: string | null): void {
  if (isFound) return;
  isFound = true;
  parentPort?.postMessage({ ...tried, message } satisfies PlantedResult);
}

watchForStrays();
const inner = await (TARGETS[name] as CatalogEntry).create();
const counting: Target = {
  name: inner.name,
  stepBytes: inner.stepBytes,
  maxSteps: inner.maxSteps,
  seeds: () => inner.seeds(),
  async run(input) {
    tried.inputs++;
    try {
      const inOne = await inner.run(input);
      tried.count += Math.max(1, inOne);
      return inOne;
    } catch (error) {
      // Making it smaller would take longer than finding it.
      finish(firstLine(error));
      throw error;
    }
  },
};
await new Campaign(counting, {
  count,
  untilMillis: Number.POSITIVE_INFINITY,
  seed,
  coverage: new Coverage(),
  onInput: () => {},
  onProgress: () => {},
  onCrash: ({ message }) => finish(firstLine(message)),
}).run();
finish(null);
parentPort?.close();

function firstLine(error: unknown): string {
  return String(error).split('\n')[0] ?? '';
}
