/** Where a server of several is, as programs name it. */
import { isIPv6 } from 'node:net';
import { hostPort } from '../../verbs/host-port.js';

export interface ServerAddress {
  readonly host: string;
  /** TCP port. Default: the option `port`, or 4433. */
  readonly port?: number;
  /** Those with the lowest are tried first, those with a higher one when none of them takes the connection. Default 0. */
  readonly priority?: number;
  /** Its share among those of the same priority; 0 is next to none beside others. Default 1. */
  readonly weight?: number;
}

/** One that is to be tried. */
export type Candidate = Required<ServerAddress>;

export const MAX_PRIORITY = 65_535;
export const MAX_WEIGHT = 65_535;

/** `undefined` for a text that is no `HOST`, `HOST:PORT`, `[IPV6]:PORT` or IPv6 address. */
export function readServerAddress(text: string): ServerAddress | undefined {
  if (ambiguousPortAt(text) !== undefined) return undefined;
  const [, bracketed, named, portText] = /^(?:\[([^\]]+)\]|([^:[\]\s,]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = isIPv6(text) ? text : (named ?? (isIPv6(bracketed ?? '') ? bracketed : undefined));
  if (host === undefined) return undefined;
  if (portText === undefined) return { host };
  const port = Number(portText);
  return port > 0 && port <= 65_535 ? { host, port } : undefined;
}

/** `::1:4433` is an address, and hardly ever the one that was meant: where its last part may be a port, the place of its colon. */
export function ambiguousPortAt(text: string): number | undefined {
  const [, address = '', port = ''] = /^(.*):(\d{3,5})$/.exec(text) ?? [];
  return isIPv6(address) && Number(port) <= 65_535 ? address.length : undefined;
}

/** With everything that was left out. */
export const candidateOf = (given: string | ServerAddress, defaultPort: number): Candidate => {
  const address = typeof given === 'string' ? (readServerAddress(given) ?? { host: given }) : given;
  return { port: defaultPort, priority: 0, weight: 1, ...defined(address) };
};

export const candidateName = ({ host, port }: Candidate): string => hostPort(host, port);

/** An option that is `undefined` is one that was left out. */
const defined = (address: ServerAddress): ServerAddress =>
  Object.fromEntries(
    Object.entries(address).filter(([, value]) => value !== undefined),
  ) as unknown as ServerAddress;
