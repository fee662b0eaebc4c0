/** The command line of `npm run mutate`. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { integerOption, listOption } from '../command-line.js';
import { ROOMS } from './fault.js';

export interface MutateOptions {
  readonly json: boolean;
  /** Rooms and ids of faults; empty = all. */
  readonly only: readonly string[];
  /** How many of the faults, drawn by `seed`; all by default. */
  readonly sample: number;
  readonly seed: number;
  readonly jobs: number;
}

export const USAGE = `usage: npm run mutate -- [--only NAME,…] [--sample N] [--seed S] [--jobs N] [--json]

Plants faults in copies of the sources, one at a time, and asks the tests that should notice.

  --only NAME,…    rooms (${ROOMS.join(', ')}) and ids of faults
  --sample N       N faults drawn at random instead of all
  --seed S         which; default 1
  --jobs N         how many at once; default the number of processors
  --json           one JSON object a line on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): MutateOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      sample: { type: 'string' },
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const sample =
    values.sample === undefined ? Number.POSITIVE_INFINITY : integerOption('sample', values.sample, 1);
  return {
    json: values.json,
    only: listOption(values.only),
    sample,
    seed: integerOption('seed', values.seed, 0),
    jobs: integerOption('jobs', values.jobs, 1),
  };
}
