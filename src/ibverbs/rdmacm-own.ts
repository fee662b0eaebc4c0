/** The addresses of a device, as text for people. */
import { formatIp, parseGid } from '../verbs/address.js';
import type { Device } from '../verbs/device.js';

export async function ownAddresses(device: Device): Promise<string> {
  const gids = await device.queryGids().catch(() => []);
  const texts = gids.flatMap(({ gid, type }) => {
    const address = parseGid(gid);
    return address === undefined || type !== 'RoCE v2' ? [] : [formatIp(address)];
  });
  return [...new Set(texts)].join(', ') || 'none';
}
