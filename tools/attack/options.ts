/** The command line of the attack suite. */
import { parseArgs } from 'node:util';
import { namesOption, seedOption } from '../command-line.js';

export interface AttackOptions {
  /** Names of attacks; empty = all. */
  readonly only: readonly string[];
  readonly seed: number;
  readonly full: boolean;
  readonly json: boolean;
}

export const USAGE = `usage: npm run attack -- [options]
  --only A4,A7   these attacks (default: all)
  --seed S       repeat a run (default: random, and printed)
  --full         also the runs of full size, which take minutes
  --json         a line of JSON per attack on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[], known: readonly string[]): AttackOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      seed: { type: 'string' },
      full: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const lists = values.only?.map((list) => list.toUpperCase());
  const only = namesOption(lists, known, 'attack');
  return { only, seed: seedOption(values.seed), full: values.full, json: values.json };
}
