/** The addresses that a host has, as far as a device can reach them: of the IP family of one of its own addresses. */
import { lookup } from 'node:dns/promises';
import { formatIp, isIpv4, parseGid, withoutZone } from '../verbs/address.js';
import type { Device } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import type { Patience } from './patience.js';

/**
 * @throws RdmaError ERR_RDMA_ADDRESS when the name has no address, or none of a family of the device.
 */
export async function peerHosts(device: Device, host: string, patience: Patience): Promise<string[]> {
  const families = await deviceFamilies(device);
  const addresses = await addressesOf(host, patience);
  const usable = addresses.filter((address) => families.has(familyOf(address)));
  if (usable.length > 0) return usable;
  const has = [...families].join(' and ') || 'no IP';
  throw new RdmaError(
    'ERR_RDMA_ADDRESS',
    `${host} has no address that ${device.name} can reach: the device has ${has} addresses only; open one with an ` +
      `address of the other family`,
  );
}

async function deviceFamilies(device: Device): Promise<Set<string>> {
  const gids = await device.queryGids();
  return new Set(gids.filter(({ type }) => type !== 'RoCE v1').map(({ gid }) => familyOf(gid)));
}

function familyOf(text: string): 'IPv4' | 'IPv6' {
  const address = parseGid(text);
  return address !== undefined && isIpv4(address) ? 'IPv4' : 'IPv6';
}

async function addressesOf(host: string, patience: Patience): Promise<string[]> {
  const literal = parseGid(withoutZone(host));
  if (literal !== undefined) return [withoutZone(host) === host ? formatIp(literal) : host];
  try {
    const found = await patience.untilOver(lookup(host, { all: true }), `the lookup of ${host}`);
    return [...new Set(found.map(({ address }) => address).filter((text) => parseGid(text) !== undefined))];
  } catch (cause) {
    if (cause instanceof RdmaError) throw cause;
    const { code = 'an error' } = cause as NodeJS.ErrnoException;
    const message = `the name ${host} has no address (${code}): check its spelling, or give an IP address`;
    throw new RdmaError('ERR_RDMA_ADDRESS', message, { cause });
  }
}
