/** The command line of the attack suite. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

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

/** @throws Error, saying what is wrong with the arguments. */
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
  const only = (values.only ?? [])
    .flatMap((list) => list.split(','))
    .map((name) => name.trim().toUpperCase());
  for (const name of only) {
    if (!known.includes(name)) throw new Error(`there is no attack '${name}'; there are ${known.join(', ')}`);
  }
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new Error(`--seed must be an integer from 0 up, not '${values.seed}'`);
  return { only, seed, full: values.full, json: values.json };
}
