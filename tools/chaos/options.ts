/** The command line of `npm run chaos`. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { FAULTS, type FaultName } from './faults.js';

export interface ChaosOptions {
  readonly faults: number;
  readonly seed: number;
  readonly json: boolean;
  /** Only these; empty = all. */
  readonly only: readonly FaultName[];
}

export const USAGE = `usage: npm run chaos -- [--faults N] [--seed N] [--only NAME,…] [--json]

A server and three clients as processes of their own, with messages flowing both ways and RDMA writes and reads in
between, while faults strike one after the other, sometimes two at once.

  --faults N     how many; default 1000
  --seed N       which faults, when and for how long; default: a random one, which is printed
  --only NAMES   only these: ${Object.keys(FAULTS).join(', ')}
  --json         one JSON object a line on standard output
`;

/** @throws Error for arguments that make no sense. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      faults: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  });
  const faults = Number(values.faults);
  if (!Number.isInteger(faults) || faults < 1) throw new Error('--faults takes a number from 1 up');
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
  if (!Number.isInteger(seed) || seed < 0) throw new Error('--seed takes a number from 0 up');
  const only = values.only.split(',').filter((name) => name !== '');
  const unknown = only.find((name) => !Object.hasOwn(FAULTS, name));
  if (unknown !== undefined) throw new Error(`there is no fault '${unknown}'`);
  return { faults, seed, json: values.json, only: only as FaultName[] };
}
