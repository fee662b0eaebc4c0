/** What libibverbs says about a device, its ports and its GIDs, in this package's words. */
import { join } from 'node:path';
import type { VerbsAddon } from '../native/verbs-addon.js';
import type { DeviceAttributes, GidEntry, PortAttributes } from '../verbs/device.js';
import { activeMtuFor, mtuFromEnum } from '../verbs/mtu.js';
import { QpType } from '../verbs/qp-state.js';
import { newPlaces, writeCapacity } from './attribute-array.js';
import { gidEntries, gidsFromSysfs, ROCE_UDP_PORT } from './gid-table.js';
import { SYSFS_FOLDER } from './port-counters.js';
import { Errno, verbError } from './verbs-error.js';

const MEM_WINDOW_TYPE_2 = (1 << 23) | (1 << 24);
/** Of UD and of RC. */
const IP_CHECKSUMS = (1 << 18) | (1 << 25);
const PORT_ACTIVE = 4;
const PORT_ACTIVE_DEFER = 5;
const LINK_LAYER_ETHERNET = 2;
const GID_BYTES = 16;
/** What completes during a turn waits for its end, and the device needs none. */
const POLLS_PER_TURN = 2000;
/** What is tried, largest first: no attribute tells how much a device takes. */
const INLINE_SIZES = [1024, 512, 256, 220, 128, 96, 64, 48, 32, 16];

export interface DeviceFacts {
  /** `maxInlineData` is 0 here: it has to be tried. */
  readonly attributes: DeviceAttributes;
  readonly maxReadSge: number;
  readonly maxSrqSge: number;
  readonly ports: number;
  /** Whether completions may say that the IP checksum of what arrived was good. */
  readonly checksChecksums: boolean;
}

const count = (value: number | undefined): number =>
  Math.min(Math.max(value ?? 0, 0), Number.MAX_SAFE_INTEGER);

export async function queryFacts(addon: VerbsAddon, device: number, name: string): Promise<DeviceFacts> {
  const out = new Float64Array(19);
  const result = await addon.queryDevice(device, out);
  if (result < 0) throw verbError(`asking ${name} for its attributes`, -result);
  const [maxQps, maxQpWr, maxSge, maxSgeRd, maxCqs, maxCqe, maxMrs, maxMrBytes, maxPds, maxMws] = out;
  const [maxSrqs, maxSrqWr, maxSrqSge, rdAtom, initRdAtom, atomicCap, flags, ports] = out.subarray(10);
  return {
    attributes: {
      maxQps: count(maxQps),
      maxQpWr: count(maxQpWr),
      maxSge: count(maxSge),
      maxCqs: count(maxCqs),
      maxCqe: count(maxCqe),
      maxMrs: count(maxMrs),
      maxMrBytes: count(maxMrBytes),
      maxPds: count(maxPds),
      maxMws: ((flags ?? 0) & MEM_WINDOW_TYPE_2) !== 0 ? count(maxMws) : 0,
      maxSrqs: count(maxSrqs),
      maxSrqWr: count(maxSrqWr),
      maxInlineData: 0,
      maxQpRdAtom: count(rdAtom),
      maxQpInitRdAtom: count(initRdAtom),
      atomics: (atomicCap ?? 0) > 0,
      pollsPerTurn: POLLS_PER_TURN,
      instantRegistration: false,
    },
    // 0 is said by drivers that make no difference.
    maxReadSge: count(maxSgeRd) || count(maxSge),
    maxSrqSge: count(maxSrqSge),
    ports: count(ports),
    checksChecksums: ((flags ?? 0) & IP_CHECKSUMS) !== 0,
  };
}

/** The largest inline size for which the device makes a queue pair, out of those tried. */
export async function probeInline(addon: VerbsAddon, device: number): Promise<number> {
  const pd = await addon.allocPd(device);
  const cq = await addon.createCq(device, 1, 0, new Float64Array(1));
  try {
    if (pd < 0 || cq < 0) return 0;
    for (const type of [QpType.RC, QpType.UD]) {
      for (const maxInlineData of INLINE_SIZES) {
        const places = newPlaces();
        writeCapacity(places, { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData });
        const qp = await addon.createQp(pd, type, cq, cq, 0, 0, places);
        if (qp < 0) continue;
        await addon.close(qp);
        return maxInlineData;
      }
    }
    return 0;
  } finally {
    if (cq > 0) await addon.close(cq);
    if (pd > 0) await addon.close(pd);
  }
}

export async function queryPortFacts(
  addon: VerbsAddon,
  device: number,
  name: string,
  port: number,
): Promise<{ readonly attributes: PortAttributes; readonly gidTableLength: number }> {
  const out = new Float64Array(7);
  const result = await addon.queryPort(device, port, out);
  if (result < 0) throw verbError(`asking ${name} for port ${port}`, -result);
  const [state, mtu = 0, maxMessageBytes = 0, linkLayer, lid = 0, gidTableLength = 0] = out;
  return {
    attributes: {
      state: state === PORT_ACTIVE || state === PORT_ACTIVE_DEFER ? 'ACTIVE' : 'DOWN',
      activeMtu: mtu >= 1 && mtu <= 5 ? mtuFromEnum(mtu) : activeMtuFor(0),
      maxMessageBytes,
      linkLayer: linkLayer === LINK_LAYER_ETHERNET ? 'Ethernet' : 'InfiniBand',
      lid,
      udpPort: ROCE_UDP_PORT,
      isExclusive: false,
      exactIcrc: true,
    },
    gidTableLength,
  };
}

export async function readGids(
  addon: VerbsAddon,
  device: number,
  name: string,
  port: number,
  capacity: number,
): Promise<readonly GidEntry[]> {
  const gids = new Uint8Array(Math.max(capacity, 1) * GID_BYTES);
  const facts = new Float64Array(Math.max(capacity, 1) * 4);
  const found = await addon.queryGids(device, gids, facts);
  if (found >= 0) return gidEntries(found, gids, facts, port);
  if (found === -Errno.ENOSYS || found === -Errno.EOPNOTSUPP) {
    return gidsFromSysfs(join(SYSFS_FOLDER, name, 'ports', String(port)));
  }
  throw verbError(`reading the GID table of ${name}`, -found);
}
