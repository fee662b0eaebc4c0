/** The command line of `npm run sim`. */
import { parseArgs } from 'node:util';
import { integerOption, WrongUsage } from '../command-line.js';

export interface Options {
  readonly first: number;
  readonly last: number;
  /** Connections instead of queue pairs. */
  readonly connections: boolean;
  /** Communication managers instead of queue pairs. */
  readonly cm: boolean;
  /** Two ends of an rsocket instead of queue pairs. */
  readonly rsocket: boolean;
  /** NVMe hosts whose targets go and come again instead of queue pairs. */
  readonly nvme: boolean;
  readonly json: boolean;
  readonly shrink: boolean;
  readonly jobs: number;
  readonly verbose: boolean;
}

export const USAGE = `usage: npm run sim -- [--seeds A..B] [--seed N] [--jobs N] [--connections | --cm | --rsocket | --nvme] [--shrink] [--verbose] [--json]

  --seeds A..B   seeds to run, both included; default 1..500
  --seed N       one seed alone
  --connections  simulate connections and their recovery instead of queue pairs
  --cm           simulate communication managers that meet over a bad network
  --rsocket      simulate the two ends of an rsocket on a channel that keeps order
  --nvme         simulate NVMe hosts whose targets crash and whose networks are cut
  --jobs N       worker threads; default 2
  --shrink       make the first failing seed's scenario smaller and print it
  --verbose      print how often every mark was hit
  --json         one JSON object a line on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1..500' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      connections: { type: 'boolean', default: false },
      cm: { type: 'boolean', default: false },
      rsocket: { type: 'boolean', default: false },
      nvme: { type: 'boolean', default: false },
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
  if (range === null || last < first)
    throw new WrongUsage(`--seeds takes A..B and --seed a number, both from 0 up`);
  const jobs = integerOption('jobs', values.jobs, 1);
  const { json, verbose, connections, cm, rsocket, nvme } = values;
  if ([cm, connections, rsocket, nvme].filter(Boolean).length > 1)
    throw new Error('--cm, --connections, --rsocket and --nvme are different simulations: name one');
  return { first, last, connections, cm, rsocket, nvme, json, verbose, shrink: values.shrink, jobs };
}
