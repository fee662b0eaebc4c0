/** The command line of the suite. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  readonly json: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  /** Names to run; empty = all. */
  readonly only: readonly string[];
  readonly help: boolean;
}

export const USAGE = `usage: npm run --silent bench -- [--only NAME[,NAME…]] [--rounds N] [--quick] [--json]

  --only    benchmarks to run; send-rtt includes send-rtt-4k
  --rounds  rounds of every benchmark (default 5; with --quick 2)
  --quick   a tenth of the work: shows that everything runs, not how fast
  --json    one JSON object a line on standard output
`;

const DEFAULT_ROUNDS = 5;
const QUICK_ROUNDS = 2;
const MAX_ROUNDS = 1000;

/** @throws Error that says what is wrong with the arguments. */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true },
    },
  });
  const { json, quick, help, only } = values;
  const rounds =
    values.rounds === undefined ? (quick ? QUICK_ROUNDS : DEFAULT_ROUNDS) : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MAX_ROUNDS) {
    throw new Error(`--rounds takes 1 to ${MAX_ROUNDS}, not '${values.rounds}'`);
  }
  const names = (only ?? []).flatMap((list) => list.split(',')).filter((name) => name !== '');
  return { json, quick, help, rounds, only: names };
}
