/** Reads what people type after flags; what cannot be read is wrong usage. */
import { InvalidArgumentError } from 'commander';
import { ambiguousPortAt, readServerAddress } from '../connection/options/server-address.js';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kib: 1024,
  kb: 1000,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  mb: 1000 ** 2,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  gb: 1000 ** 3,
  t: 1024 ** 4,
  tib: 1024 ** 4,
  tb: 1000 ** 4,
};

/** `4MiB`, `64k`, `1000`; `undefined` when it is no number of bytes. */
export function readBytes(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (digits === undefined || factor === undefined) return undefined;
  const bytes = Number(digits) * factor;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

export function bytesArgument(text: string): number {
  const bytes = readBytes(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('write a number of bytes such as 65536, 64KiB or 4MiB');
}

export const portArgument = (text: string): number =>
  integer(text, 0, 65535, 'a port is 0 to 65535 (0 = any free one)');

/** A count of `min` to `max`. */
export const countArgument =
  (max: number, min = 1) =>
  (text: string): number =>
    integer(text, min, max, `write a number from ${min} to ${max}`);

export const millisArgument = (text: string): number =>
  integer(text, 1, 2 ** 31 - 1, 'write milliseconds, 1 or more');

export const millisOrNeverArgument = (text: string): number =>
  integer(text, 0, 2 ** 31 - 1, 'write milliseconds; 0 = not at all');

function integer(text: string, min: number, max: number, advice: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidArgumentError(advice);
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** `host`, `host:port`, `192.0.2.7:4433`, `[2001:db8::7]:4433`, `2001:db8::7`. */
export function targetArgument(text: string, defaultPort: number): Target {
  const at = ambiguousPortAt(text);
  if (at !== undefined) {
    throw new InvalidArgumentError(
      `write [${text.slice(0, at)}]${text.slice(at)} for that port, or [${text}] for that address`,
    );
  }
  const address = readServerAddress(text);
  if (address !== undefined) return { port: defaultPort, ...address };
  const bare = readServerAddress(text.replace(/:\d+$/, ''));
  if (bare !== undefined && bare.port === undefined)
    throw new InvalidArgumentError('the port of a server is 1 to 65535');
  throw new InvalidArgumentError('write HOST or HOST:PORT; an IPv6 address with a port goes in brackets');
}

/** Several of them with commas between. */
export const targetsArgument = (text: string, defaultPort: number): readonly Target[] =>
  text.split(',').map((target) => targetArgument(target.trim(), defaultPort));

/** For repeatable flags. */
export const collect = (value: string, earlier: readonly string[]): readonly string[] => [...earlier, value];
