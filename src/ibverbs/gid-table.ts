/**
 * The addresses of a port, and which of them to send from. The index is never guessed: the entry is found by the
 * destination, as the kernel would choose the source of a UDP datagram to it.
 */
import { createSocket } from 'node:dgram';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatGid, isIpv4, parseGid, sameGid, UdpAddress } from '../verbs/address.js';
import type { GidEntry } from '../verbs/device.js';
import { RdmaError, usageError } from '../verbs/errors.js';

const GID_BYTES = 16;
export const ROCE_UDP_PORT = 4791;

/** `enum ibv_gid_type` of table entries. */
const TYPES = ['IB', 'RoCE v1', 'RoCE v2'] as const;

/** A GID as the kernel stores it, as text. */
export function gidText(bytes: Uint8Array, at: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, GID_BYTES);
  const address = new UdpAddress();
  address.w0 = view.getInt32(0);
  address.w1 = view.getInt32(4);
  address.w2 = view.getInt32(8);
  address.w3 = view.getInt32(12);
  return formatGid(address);
}

/** The entries of `port` out of what the addon wrote. */
export function gidEntries(count: number, gids: Uint8Array, facts: Float64Array, port: number): GidEntry[] {
  const entries: GidEntry[] = [];
  for (let i = 0; i < count; i++) {
    const [index = 0, ofPort, type = 0] = facts.subarray(i * 4, i * 4 + 3);
    if (ofPort !== port) continue;
    entries.push({ index, gid: gidText(gids, i * GID_BYTES), type: TYPES[type] ?? 'IB' });
  }
  return entries;
}

/** The same from sysfs, for libraries that cannot list the table (before rdma-core 33). */
export async function gidsFromSysfs(folder: string): Promise<GidEntry[]> {
  const entries: GidEntry[] = [];
  for (const name of (await readdir(join(folder, 'gids'))).sort((a, b) => Number(a) - Number(b))) {
    const address = parseGid((await readFile(join(folder, 'gids', name), 'utf8')).trim());
    if (address === undefined || (address.w0 | address.w1 | address.w2 | address.w3) === 0) continue;
    const type = await readFile(join(folder, 'gid_attrs', 'types', name), 'utf8').catch(() => 'IB');
    entries.push({
      index: Number(name),
      gid: formatGid(address),
      type: type.includes('v2')
        ? 'RoCE v2'
        : type.includes('v1') || type.includes('IB/RoCE')
          ? 'RoCE v1'
          : 'IB',
    });
  }
  return entries;
}

/**
 * The entry to send from to `dgid`: RoCE v2, same IP family; then the peer's own address where it is of this port, the
 * address that the kernel's routes choose, the one that shares most leading bits.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when `dgid` is no address, ERR_RDMA_ADDRESS when no entry fits, with the
 * table.
 */
export async function chooseGid(table: readonly GidEntry[], dgid: string, device: string): Promise<GidEntry> {
  const wanted = parseDgid(dgid);
  const candidates = table.flatMap((entry) => {
    const address = parseGid(entry.gid);
    return address === undefined || !fits(entry, address, wanted) ? [] : [{ entry, address }];
  });
  const same = candidates.find(({ address }) => sameGid(address, wanted));
  if (same !== undefined) return same.entry;
  const source = candidates.length > 1 ? await routeSource(wanted) : undefined;
  const routed = candidates.find(({ address }) => source !== undefined && sameGid(address, source));
  if (routed !== undefined) return routed.entry;
  let best: { readonly entry: GidEntry; readonly address: UdpAddress } | undefined;
  for (const candidate of candidates) {
    if (best === undefined || commonBits(candidate.address, wanted) > commonBits(best.address, wanted)) {
      best = candidate;
    }
  }
  if (best !== undefined) return best.entry;
  const list = table.map(({ index, gid, type }) => `${index}: ${gid} (${type})`).join(', ') || 'none';
  throw new RdmaError(
    'ERR_RDMA_ADDRESS',
    `${device} has no GID to reach ${dgid} from; it needs a RoCE v2 address of the same IP version. GIDs: ${list}`,
  );
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function parseDgid(dgid: string): UdpAddress {
  const address = parseGid(dgid);
  if (address === undefined)
    throw usageError(`dgid '${dgid}' is not an address; write 192.0.2.7 or an IPv6 address`);
  return address;
}

/** RoCE v1 cannot be routed, and its packets are not those of this package. */
function fits(entry: GidEntry, address: UdpAddress, wanted: UdpAddress): boolean {
  if (entry.type === 'RoCE v1') return false;
  return isIpv4(address) === isIpv4(wanted) && isLinkLocal(address) === isLinkLocal(wanted);
}

const isLinkLocal = ({ w0 }: UdpAddress): boolean => (w0 & 0xffc00000) === (0xfe800000 | 0);

function commonBits(a: UdpAddress, b: UdpAddress): number {
  let bits = 0;
  for (const difference of [a.w0 ^ b.w0, a.w1 ^ b.w1, a.w2 ^ b.w2, a.w3 ^ b.w3]) {
    bits += Math.clz32(difference);
    if (difference !== 0) break;
  }
  return bits;
}

/** The source that the kernel would choose. Connecting a UDP socket sends nothing. */
function routeSource(to: UdpAddress): Promise<UdpAddress | undefined> {
  const isV4 = isIpv4(to);
  const text = formatGid(to);
  return new Promise((resolve) => {
    const socket = createSocket(isV4 ? 'udp4' : 'udp6');
    const end = (source: string | undefined): void => {
      socket.close();
      resolve(source === undefined ? undefined : parseGid(source));
    };
    socket.once('error', () => end(undefined));
    socket.connect(ROCE_UDP_PORT, isV4 ? text.slice('::ffff:'.length) : text, () =>
      end(socket.address().address),
    );
  });
}
