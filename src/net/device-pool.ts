/**
 * Devices that sockets without a connection beneath share: one for all that name the same. It is opened for the first of them, and
 * closed soon after the last.
 *
 * Invariant: a device that the program opened itself stays open.
 */
import { openDevice } from '../open-device.js';
import type { Device } from '../verbs/device.js';

/** How long a device that nobody uses waits for the next socket. */
const LINGER_MILLIS = 500;

export interface DeviceLease {
  readonly device: Device;
  release(): void;
}

interface Shared {
  readonly opening: Promise<Device>;
  users: number;
  linger: NodeJS.Timeout | undefined;
}

const shared = new Map<string, Shared>();

/** @throws RdmaError of `openDevice`. */
export async function leaseDevice(named: Device | string): Promise<DeviceLease> {
  if (typeof named === 'object') return { device: named, release() {} };
  const entry = shared.get(named) ?? { opening: openDevice(named), users: 0, linger: undefined };
  shared.set(named, entry);
  entry.users++;
  clearTimeout(entry.linger);
  try {
    const device = await entry.opening;
    return { device, release: () => leave(named, entry) };
  } catch (error) {
    shared.delete(named);
    throw error;
  }
}

function leave(name: string, entry: Shared): void {
  if (--entry.users > 0) return;
  entry.linger = setTimeout(() => {
    shared.delete(name);
    void entry.opening.then((device) => device.close());
  }, LINGER_MILLIS);
}
