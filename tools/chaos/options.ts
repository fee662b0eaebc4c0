/** The command line of `npm run chaos`. */
import { parseArgs } from 'node:util';
import { integerOption, namesOption, seedOption } from '../command-line.js';
import { FAULTS, type FaultName } from './faults.js';

export interface ChaosOptions {
  readonly faults: number;
  readonly seed: number;
  readonly json: boolean;
  /** Only these; empty = all. */
  readonly only: readonly FaultName[];
}

export const USAGE = `usage: npm run chaos -- [--faults N] [--seed N] [--only NAME,…] [--json]

A server and three clients as processes of their own, with messages and streams flowing both ways and RDMA writes and
reads in between, while faults strike one after the other, sometimes two at once.

  --faults N     how many; default 1000
  --seed N       which faults, when and for how long; default: a random one, which is printed
  --only NAMES   only these: ${Object.keys(FAULTS).join(', ')}
  --json         one JSON object a line on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      faults: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      only: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
    },
  });
  const only = namesOption(values.only, Object.keys(FAULTS), 'fault') as readonly FaultName[];
  const faults = integerOption('faults', values.faults, 1);
  return { faults, seed: seedOption(values.seed), json: values.json, only };
}
