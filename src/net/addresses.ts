/** Addresses as node:net shows them, and the addresses of a name. */
import { type LookupAddress, type LookupAllOptions, lookup as systemLookup } from 'node:dns';
import { isIP, isIPv6 } from 'node:net';
import type { EndAddress } from './transport.js';

/** What `address()` of a socket or server gives; an empty object where it has none. */
export interface AddressInfo {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

export const familyOf = (address: string): 'IPv4' | 'IPv6' => (isIPv6(address) ? 'IPv6' : 'IPv4');

export const addressInfo = ({ address, port }: EndAddress): AddressInfo => ({
  address,
  family: familyOf(address),
  port,
});

/** As `dns.lookup` is called with `all`, and as it answers; also one that answers with a single address. */
export type LookupFunction = (
  hostname: string,
  options: LookupAllOptions,
  callback: (
    error: NodeJS.ErrnoException | null,
    addresses: string | readonly LookupAddress[],
    family?: number,
  ) => void,
) => void;

export interface LookupOptions {
  readonly lookup?: LookupFunction;
  readonly family?: number;
  readonly hints?: number;
}

/** Addresses of `host`; `host` itself where it is one. */
export function addressesOf(host: string, options: LookupOptions): Promise<readonly LookupAddress[]> {
  const own = isIP(host);
  if (own !== 0) return Promise.resolve([{ address: host, family: own }]);
  const lookup: LookupFunction = options.lookup ?? (systemLookup as LookupFunction);
  const { family, hints } = options;
  return new Promise((resolve, reject) => {
    lookup(
      host,
      { all: true, ...(family === undefined ? {} : { family }), ...(hints === undefined ? {} : { hints }) },
      (error, found, foundFamily) => {
        if (error !== null && error !== undefined) reject(error);
        else if (typeof found === 'string') resolve([{ address: found, family: foundFamily ?? isIP(found) }]);
        else if (found.length === 0) reject(notFound(host));
        else resolve(found);
      },
    );
  });
}

/** As `dns.lookup` fails. */
const notFound = (hostname: string): Error =>
  Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    errno: -3008,
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname,
  });
