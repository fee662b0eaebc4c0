/** Fuzzes one target with its share of a run of 100,000, until something is found. */
import { Campaign } from '../../fuzz/campaign.js';
import { Coverage } from '../../fuzz/coverage.js';
import { watchForStrays } from '../../fuzz/strays.js';
import { TARGETS } from '../../fuzz/targets.js';

const WHOLE_COUNT = 100_000;
const SEED = 1;

const target = TARGETS[process.argv[2] ?? ''];
if (target === undefined) throw new Error(`there is no target '${process.argv[2]}'`);
const shares = Object.values(TARGETS).reduce((sum, { share }) => sum + share, 0);

function found(error: unknown): never {
  process.stdout.write(`noticed: ${String(error).split('\n')[0]}\n`);
  process.exit(1);
}

watchForStrays();
const inner = await target.create();
await new Campaign(
  {
    name: inner.name,
    stepBytes: inner.stepBytes,
    maxSteps: inner.maxSteps,
    seeds: () => inner.seeds(),
    // The campaign would make the input smaller, which takes longer than finding it.
    async run(input) {
      try {
        return await inner.run(input);
      } catch (error) {
        return found(error);
      }
    },
  },
  {
    count: Math.ceil((WHOLE_COUNT * target.share) / shares),
    untilMillis: Number.POSITIVE_INFINITY,
    seed: SEED,
    coverage: new Coverage(),
    onInput: () => {},
    onProgress: () => {},
    onCrash: ({ message }) => found(message),
  },
).run();
process.exit(0);
