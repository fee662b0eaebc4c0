/** The command line of `npm run sim`. */
import { parseArgs } from 'node:util';

export interface Options {
  readonly first: number;
  readonly last: number;
  /** Connections instead of queue pairs. */
  readonly connections: boolean;
  readonly json: boolean;
  readonly shrink: boolean;
  readonly jobs: number;
  readonly verbose: boolean;
}

export const USAGE = `usage: npm run sim -- [--seeds A..B] [--seed N] [--jobs N] [--connections] [--shrink] [--verbose] [--json]

  --seeds A..B   seeds to run, both included; default 1..500
  --seed N       one seed alone
  --connections  simulate connections and their recovery instead of queue pairs
  --jobs N       worker threads; default 2
  --shrink       make the first failing seed's scenario smaller and print it
  --verbose      print how often every mark was hit
  --json         one JSON object a line on standard output
`;

/** @throws Error for arguments that make no sense. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1..500' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      connections: { type: 'boolean', default: false },
      shrink: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const range = /^(\d+)\.\.(\d+)$/.exec(
    values.seed === undefined ? values.seeds : `${values.seed}..${values.seed}`,
  );
  const first = Number(range?.[1]);
  const last = Number(range?.[2]);
  const jobs = Number(values.jobs);
  if (range === null || last < first)
    throw new Error(`--seeds takes A..B and --seed a number, both from 0 up`);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error('--jobs takes a number from 1 up');
  const { json, verbose, connections } = values;
  return { first, last, connections, json, verbose, shrink: values.shrink, jobs };
}
