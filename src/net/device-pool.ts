/**
 * Devices that sockets without a connection beneath share: one for all that name the same. It is opened for the first of them, and
 * closed soon after the last.
 *
 * Invariants: a device that the program opened itself stays open; those that are opened here keep no process alive, because the
 * sockets do.
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
/** Devices that close: one with the same name can be opened when they have. */
const closing = new Map<string, Promise<void>>();

/** @throws RdmaError of `openDevice`. */
export async function leaseDevice(named: Device | string): Promise<DeviceLease> {
  if (typeof named === 'object') return { device: named, release() {} };
  const entry = shared.get(named) ?? { opening: opened(named), users: 0, linger: undefined };
  shared.set(named, entry);
  entry.users++;
  clearTimeout(entry.linger);
  try {
    const device = await entry.opening;
    return { device, release: () => leave(named, entry) };
  } catch (error) {
    if (shared.get(named) === entry) shared.delete(named);
    throw error;
  }
}

async function opened(name: string): Promise<Device> {
  await closing.get(name);
  return (await openDevice(name)).unref();
}

function leave(name: string, entry: Shared): void {
  if (--entry.users > 0) return;
  entry.linger = setTimeout(() => {
    shared.delete(name);
    const closed: Promise<void> = close(entry).finally(() => {
      if (closing.get(name) === closed) closing.delete(name);
    });
    closing.set(name, closed);
  }, LINGER_MILLIS).unref();
}

/** What keeps a device from closing, whoever opens it next will hear of. */
async function close({ opening }: Shared): Promise<void> {
  const device = await opening;
  await device.close().catch(() => {});
}
