/** The command line of `npm run chaos`. */
import { parseArgs } from 'node:util';
import { integerOption, namesOption, seedOption, WrongUsage } from '../command-line.js';
import { FAULTS, type FaultName } from './faults.js';

export interface ChaosOptions {
  /** Or deaths of workers. */
  readonly faults: number;
  /** Workers of a server die, instead. */
  readonly workers: boolean;
  readonly seed: number;
  readonly json: boolean;
  /** Only these; empty = all. */
  readonly only: readonly FaultName[];
  /** Option `io` of the devices; `undefined` = they choose. */
  readonly io: string | undefined;
}

export const USAGE = `usage: npm run chaos -- [--faults N] [--seed N] [--only NAME,…] [--io KIND] [--json]
       npm run chaos -- --workers [--faults N] [--seed N] [--io KIND] [--json]

A server and three clients as processes of their own, with messages and streams flowing both ways and RDMA writes and
reads in between, while faults strike one after the other, sometimes two at once.

With --workers a server serves four clients in two workers, of which one after the other dies, in four ways, while messages and
streams flow. Every order gets an answer in the end, no message is taken twice, and no client is told anything untrue.

  --faults N     how many; default 1000, and 100 deaths with --workers
  --seed N       which faults, when and for how long; default: a random one, which is printed
  --only NAMES   only these: ${Object.keys(FAULTS).join(', ')}
  --io KIND      what carries the packets: native, shm or dgram; default: what devices choose
  --json         one JSON object a line on standard output
`;

const KINDS: readonly string[] = ['native', 'shm', 'dgram'];

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      faults: { type: 'string' },
      workers: { type: 'boolean', default: false },
      seed: { type: 'string' },
      only: { type: 'string', multiple: true },
      io: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const only = namesOption(values.only, Object.keys(FAULTS), 'fault') as readonly FaultName[];
  const { json, io, workers } = values;
  const faults = integerOption('faults', values.faults ?? (workers ? '100' : '1000'), 1);
  if (workers && only.length > 0)
    throw new WrongUsage('--only chooses faults, of which there are none with --workers');
  if (io !== undefined && !KINDS.includes(io)) {
    throw new WrongUsage(`--io must be ${KINDS.join(', ')}, not '${io}'`);
  }
  return { faults, workers, seed: seedOption(values.seed), json, only, io };
}
