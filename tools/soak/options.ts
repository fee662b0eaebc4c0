/** The command line of `npm run soak`. */
import { parseArgs } from 'node:util';
import { integerOption, seedOption, WrongUsage } from '../command-line.js';

export interface SoakOptions {
  readonly mib: number;
  /** A mixed load with faults for so long, in place of one body; 0: the body. */
  readonly minutes: number;
  readonly seed: number;
  readonly isSealed: boolean;
  readonly json: boolean;
}

export const USAGE = `usage: npm run soak -- [--mib N | --minutes N] [--sealed] [--seed N] [--json]

Pipes a pseudo-random body through one stream of a connection to another process, which pipes it back; compares the hashes, and
what memory each process has in use in the middle and at the end. With --minutes a mixed load instead: messages, streams and
connections that come and go, while sessions are cut and queue pairs fail; counts what is lost and what leaks.

  --mib N    MiB of the body; default 4096
  --minutes N  how long the mixed load lasts
  --sealed   on an encrypted connection
  --seed N   which bytes; default: a random one, which is printed
  --json     one JSON object a line on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): SoakOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      mib: { type: 'string' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      sealed: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.mib !== undefined && values.minutes !== undefined)
    throw new WrongUsage('--mib is for one body and --minutes for a mixed load: choose one of them');
  const mib = integerOption('mib', values.mib ?? '4096', 1);
  const minutes = values.minutes === undefined ? 0 : integerOption('minutes', values.minutes, 1);
  return { mib, minutes, seed: seedOption(values.seed), isSealed: values.sealed, json: values.json };
}
