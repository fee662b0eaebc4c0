/**
 * Which of a device's addresses to tell a peer: a port has several, and the first is often bound to one link
 * (`fe80::…`), where most peers cannot reach it.
 */
import type { Device, GidEntry } from './device.js';
import { RdmaError } from './errors.js';

const isLinkLocal = (gid: string): boolean => /^fe[89ab]/i.test(gid);

/**
 * The entry with the address at which the peer reaches this machine already (`reachedAt`, of a control connection),
 * else the first that can be routed, else the first. RoCE v1 entries do not count. `undefined` for an empty table.
 */
export function chooseOwnGid(gids: readonly GidEntry[], reachedAt?: string): GidEntry | undefined {
  const usable = gids.filter(({ type }) => type !== 'RoCE v1');
  const wanted =
    reachedAt?.includes('.') === true ? `::ffff:${reachedAt.replace(/^::ffff:/i, '')}` : reachedAt;
  return usable.find(({ gid }) => gid === wanted) ?? usable.find(({ gid }) => !isLinkLocal(gid)) ?? usable[0];
}

/**
 * As `chooseOwnGid`, or the entry with this `index`.
 *
 * @throws RdmaError ERR_RDMA_NO_DEVICE when the device does not have it.
 */
export async function ownGid(
  device: Device,
  reachedAt?: string,
  port = 1,
  index?: number,
): Promise<GidEntry> {
  const gids = await device.queryGids(port);
  if (index !== undefined) {
    const wanted = gids.find((entry) => entry.index === index && entry.type !== 'RoCE v1');
    if (wanted !== undefined) return wanted;
    throw new RdmaError('ERR_RDMA_NO_DEVICE', `${device.name} has no RoCE v2 GID with the index ${index}`);
  }
  const found = chooseOwnGid(gids, reachedAt);
  if (found !== undefined) return found;
  const message = `${device.name} has no RoCE v2 GID; give its port an IP address`;
  throw new RdmaError('ERR_RDMA_NO_DEVICE', message);
}
