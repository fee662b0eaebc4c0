/**
 * What the paths of `queuepair cp` ask for: which of them are of this machine, and which server and port the others name.
 *
 * Invariant: what could mean two things is asked back in one sentence rather than copied to either.
 */
import { isIPv6 } from 'node:net';
import { WrongArguments } from '../wrong-arguments.js';
import { sharePath } from './copy-client.js';

export interface CopyPlan {
  readonly host: string;
  /** Where a path names it. */
  readonly port?: number;
  readonly isUpload: boolean;
  /** Of this machine, or of the share. */
  readonly sources: readonly string[];
  readonly target: string;
  readonly intoDirectory: boolean;
}

interface Remote {
  readonly host: string;
  readonly port: number | undefined;
  /** In the share, as it was typed. */
  readonly path: string;
}

const MAX_PORT = 65_535;

/** @throws WrongArguments */
export function planOf(paths: readonly string[]): CopyPlan {
  const last = paths.at(-1) ?? '';
  const sources = paths.slice(0, -1);
  if (sources.length === 0)
    throw new WrongArguments('name what to copy, and where to: FILE… HOST:PATH, or HOST:PATH… DIR');
  const target = remoteOf(last);
  const remotes = sources.map(remoteOf);
  const intoDirectory = sources.length > 1 || /(^|[:/])\.{0,2}\/?$/.test(last);
  if (target !== undefined) {
    if (remotes.some((one) => one !== undefined))
      throw new WrongArguments('one side is this machine: write ./NAME for a file with a colon in its name');
    return { ...serverOf(target), isUpload: true, sources, target: sharePath(target.path), intoDirectory };
  }
  const [first] = remotes;
  if (first === undefined)
    throw new WrongArguments('neither side is HOST:PATH; for copies on this machine there is cp');
  const shared = remotes.map((one) => {
    if (one?.host !== first.host || one.port !== first.port)
      throw new WrongArguments('all sources are on one HOST and port');
    return sharePath(one.path);
  });
  return { ...serverOf(first), isUpload: false, sources: shared, target: last, intoDirectory };
}

const serverOf = ({ host, port }: Remote): Pick<CopyPlan, 'host' | 'port'> => ({
  host,
  ...(port === undefined ? {} : { port }),
});

/**
 * `HOST:PATH`, `HOST:PORT:PATH`, `[::1]:PATH`; `undefined` for a path of this machine: one with a `/` before the first colon.
 *
 * @throws WrongArguments for what may be a port or a path.
 */
function remoteOf(text: string): Remote | undefined {
  if (hasBareAddress(text))
    throw new WrongArguments(
      `${text}: an IPv6 address goes in brackets: [ADDRESS]:PATH or [ADDRESS]:PORT:PATH`,
    );
  const [, bracketed, plain, rest = ''] = /^(?:\[([^\]]+)\]|([^:/[\]]+)):(.*)$/s.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return undefined;
  if (isPort(rest)) {
    const before = text.slice(0, -rest.length);
    throw new WrongArguments(
      `${text}: is ${rest} a port or a path? Write ${text}: for the port, or ${before}./${rest} for the path`,
    );
  }
  const [, digits = '', path = ''] = /^(\d+):(.*)$/s.exec(rest) ?? [];
  return isPort(digits) ? { host, port: Number(digits), path } : { host, port: undefined, path: rest };
}

/** Whether it begins with an address of IPv6 without brackets. */
function hasBareAddress(text: string): boolean {
  const [beforeSlash = ''] = text.split('/');
  const parts = beforeSlash.split(':');
  return parts.some((_, i) => isIPv6(parts.slice(0, i + 1).join(':')));
}

const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) <= MAX_PORT;
