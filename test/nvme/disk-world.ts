/** Two soft devices for a test file, and what tests of hosts and targets do with them. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import type { NvmeBackend } from '../../src/nvme/backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { connectNvme, type NvmeController } from '../../src/nvme/host/nvme-host.js';
import type { ConnectNvmeOptions } from '../../src/nvme/host/options.js';
import { type NvmeTarget, serveNvme } from '../../src/nvme/target/nvme-target.js';
import type { ServeNvmeOptions } from '../../src/nvme/target/options.js';
import { openDevice } from '../../src/open-device.js';
import type { Device } from '../../src/verbs/device.js';
import type { To } from '../../testkit/nvme-raw-host.js';

export const NQN = 'nqn.2026-01.test:disk';
export const HOST_NQN = 'nqn.2026-01.test:host';
export const TARGET_HOST = '127.0.0.3';

/** Open from before the first test of the file until after the last. */
export interface Devices {
  readonly target: Device;
  readonly host: Device;
}

/** `begin` runs once they are open, `end` while they still are. */
export function useDevices(begin?: () => Promise<void>, end?: () => Promise<void>): Devices {
  let open: Devices | undefined;
  before(async () => {
    open = { target: await openDevice(`soft:${TARGET_HOST}`), host: await openDevice('soft:127.0.0.2') };
    await begin?.();
  });
  after(async () => {
    await end?.();
    await open?.host.close();
    await open?.target.close();
  });
  const opened = (): Devices => open ?? assert.fail('before the first test');
  return {
    get target() {
      return opened().target;
    },
    get host() {
      return opened().host;
    },
  };
}

/** Nothing of it is in use. */
export function expectEmpty(device: Device): void {
  const left = Object.entries(device.census()).filter(([, count]) => count !== 0);
  assert.deepEqual(left, []);
}

export type Reach = Pick<ConnectNvmeOptions, 'device' | 'host' | 'port' | 'udpPort' | 'hostNqn'>;

export interface World {
  readonly target: NvmeTarget;
  readonly reach: Reach;
  connect(options?: Partial<ConnectNvmeOptions>): Promise<NvmeController>;
}

export const serve = (
  { target: device }: Devices,
  backend: NvmeBackend,
  options: Partial<ServeNvmeOptions> = {},
): Promise<NvmeTarget> =>
  serveNvme({ device, port: 0, subsystems: { [NQN]: { namespaces: [backend] } }, ...options });

export async function placeOf({ target: device }: Devices, { address }: NvmeTarget): Promise<To> {
  const { udpPort } = await device.queryPort();
  return { host: TARGET_HOST, port: address.port, udpPort };
}

/** Serves a disk while `work` runs; both devices are as before when it is over. */
export async function inWorld(
  devices: Devices,
  backend: NvmeBackend,
  work: (world: World) => Promise<void>,
  options: Partial<ServeNvmeOptions> = {},
): Promise<void> {
  const target = await serve(devices, backend, options);
  const reach = { device: devices.host, hostNqn: HOST_NQN, ...(await placeOf(devices, target)) };
  try {
    await work({ target, reach, connect: (more) => connectNvme({ ...reach, nqn: NQN, ...more }) });
  } finally {
    await target.close();
  }
  expectEmpty(devices.host);
  expectEmpty(devices.target);
}

/** A disk in memory of whose functions some wait for the test's word; `calls` has the names of all. */
export function gatedBackend(
  sizeBytes: number,
  isGated: (name: string, call: number) => boolean,
): { backend: NvmeBackend; goOn: () => void; calls: string[] } {
  const inner = memoryBackend(sizeBytes);
  const calls: string[] = [];
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const pass = async (name: string): Promise<void> => {
    calls.push(name);
    if (isGated(name, calls.length)) await gate;
  };
  const backend: NvmeBackend = {
    ...inner,
    read: async (offset, into) => {
      await pass('read');
      inner.read(offset, into);
    },
    write: async (offset, from, options) => {
      await pass('write');
      inner.write(offset, from, options);
      calls.push('written');
    },
    writeZeroes: () => pass('writeZeroes'),
    trim: () => pass('trim'),
    flush: () => pass('flush'),
  };
  return { backend, goOn, calls };
}
