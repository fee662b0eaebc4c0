/** The command line of the suite. */
import { parseArgs } from 'node:util';
import type { LifelineKind } from '../../src/connection/terms/options.js';
import { integerOption, listOption, WrongUsage } from '../command-line.js';

export interface BenchOptions {
  readonly json: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  /** Names to run; empty = all. */
  readonly only: readonly string[];
  /** Points of the benchmark of scale; empty = the usual ones. */
  readonly connections: readonly number[];
  /** Of its connections; `undefined`: both kinds, one after the other. */
  readonly lifeline: LifelineKind | undefined;
}

export const USAGE = `usage: npm run --silent bench -- [--only NAME[,NAME…]] [--rounds N] [--connections N[,N…]] [--lifeline KIND] [--quick] [--json]

  --only    benchmarks to run; send-rtt includes send-rtt-4k
  --rounds  rounds of every benchmark (default 5; with --quick 2)
  --connections  points of the benchmark 'scale' (default 10,100,1000,10000; with --quick 10,100)
  --lifeline  session or brief: the benchmark 'scale' measures connections of this kind alone
  --quick   a tenth of the work: shows that everything runs, not how fast
  --json    one JSON object a line on standard output
`;

const DEFAULT_ROUNDS = 5;
const QUICK_ROUNDS = 2;
const MAX_ROUNDS = 1000;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true },
      connections: { type: 'string', multiple: true },
      lifeline: { type: 'string' },
    },
  });
  const { json, quick, only, lifeline } = values;
  const standard = quick ? QUICK_ROUNDS : DEFAULT_ROUNDS;
  const rounds =
    values.rounds === undefined ? standard : integerOption('rounds', values.rounds, 1, MAX_ROUNDS);
  const connections = listOption(values.connections).map((text) => integerOption('connections', text, 1));
  if (connections.length > 0 && !listOption(only).includes('scale')) {
    throw new WrongUsage("--connections is for the benchmark 'scale': add --only scale");
  }
  if (lifeline !== undefined && lifeline !== 'session' && lifeline !== 'brief')
    throw new WrongUsage('--lifeline is session or brief');
  if (lifeline !== undefined && !listOption(only).includes('scale')) {
    throw new WrongUsage("--lifeline is for the benchmark 'scale': add --only scale");
  }
  return { json, quick, rounds, only: listOption(only), connections, lifeline };
}
