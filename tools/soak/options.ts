/** The command line of `npm run soak`. */
import { parseArgs } from 'node:util';
import { integerOption, seedOption } from '../command-line.js';

export interface SoakOptions {
  readonly mib: number;
  readonly seed: number;
  readonly isSealed: boolean;
  readonly json: boolean;
}

export const USAGE = `usage: npm run soak -- [--mib N] [--sealed] [--seed N] [--json]

Pipes a pseudo-random body through one stream of a connection to another process, which pipes it back; compares the hashes, and
what memory each process has in use in the middle and at the end.

  --mib N    MiB of the body; default 4096
  --sealed   on an encrypted connection
  --seed N   which bytes; default: a random one, which is printed
  --json     one JSON object a line on standard output
`;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): SoakOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      mib: { type: 'string', default: '4096' },
      seed: { type: 'string' },
      sealed: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const mib = integerOption('mib', values.mib, 1);
  return { mib, seed: seedOption(values.seed), isSealed: values.sealed, json: values.json };
}
