/** Socket addresses as the addon takes and returns them: family, four words, port and scope (native/rdmacm/addresses.h). */
import { networkInterfaces } from 'node:os';
import { formatIp, isIpv4, parseGid, UdpAddress, withoutZone } from '../verbs/address.js';
import type { CmAddress } from '../verbs/connection-manager.js';
import { usageError } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';

export const ADDRESS_NUMBERS = 7;
export const NO_ADDRESS = new Float64Array(ADDRESS_NUMBERS);
/** All addresses of this machine, of both IP versions where the socket option allows it. */
export const ANY_IPV6 = (port: number): Float64Array => Float64Array.of(6, 0, 0, 0, 0, port, 0);
export const ANY_IPV4 = (port: number): Float64Array => Float64Array.of(4, 0, 0, 0xffff, 0, port, 0);

/**
 * A link-local address names its interface: `fe80::1%eth0`.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when it is no address.
 */
export function socketAddress({ host, port }: CmAddress): Float64Array {
  const text = withoutZone(host);
  const zone = text === host ? undefined : host.slice(text.length + 1);
  const address = parseGid(text);
  if (address === undefined) {
    throw usageError(`'${host}' is no address; write 192.0.2.7 or an IPv6 address`);
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw usageError(`a port is an integer from 0 to 65535, not ${port}`);
  }
  const words = [address.w0, address.w1, address.w2, address.w3].map((word) => word >>> 0);
  return Float64Array.of(isIpv4(address) ? 4 : 6, ...words, port, scopeOf(host, zone));
}

/** The address in `numbers` from `at` on. */
export function readSocketAddress(numbers: Float64Array, at: number): CmAddress {
  const [family = 0, w0 = 0, w1 = 0, w2 = 0, w3 = 0, port = 0, scope = 0] = numbers.subarray(at);
  const address = new UdpAddress();
  address.w0 = w0 | 0;
  address.w1 = w1 | 0;
  address.w2 = w2 | 0;
  address.w3 = w3 | 0;
  const host = family === 0 ? '::' : formatIp(address);
  return { host: scope === 0 ? host : `${host}%${scope}`, port };
}

export const describeAddress = ({ host, port }: CmAddress): string => hostPort(host, port);

function scopeOf(host: string, zone: string | undefined): number {
  if (zone === undefined) return 0;
  if (/^\d+$/.test(zone)) return Number(zone);
  for (const entry of networkInterfaces()[zone] ?? []) {
    if (entry.family === 'IPv6' && entry.scopeid !== 0) return entry.scopeid;
  }
  throw usageError(`'${host}' names an interface that this machine does not have, or that has no IPv6`);
}
