/**
 * Opens a device by name: the one place that knows which kinds of device there are. Everything above sees only the
 * verbs contract.
 */
import { ibverbsProvider } from './ibverbs/ibverbs-provider.js';
import { loadAddon } from './native/addon.js';
import { SoftDevice } from './soft/soft-device.js';
import { softProvider } from './soft/soft-provider.js';
import type { Device } from './verbs/device.js';
import type { DeviceProvider, OpenDeviceOptions } from './verbs/device-provider.js';
import { RdmaError } from './verbs/errors.js';

/** The last one takes every name. A new kind of device goes before it. */
const PROVIDERS: readonly DeviceProvider[] = [softProvider, ibverbsProvider];

/**
 * `soft` or `soft:ADDRESS[?port=N]` opens the embedded RoCEv2 device on an address of this machine; any other name is
 * that of an RDMA device of the operating system (`mlx5_0`, `rxe0`), through libibverbs.
 *
 * @throws RdmaError ERR_RDMA_NO_DEVICE for a name that is none, ERR_RDMA_NO_LIBRARY when it would need libibverbs and
 * there is none, ERR_RDMA_ADDRESS when the address cannot be bound, ERR_RDMA_INVALID_ARGUMENT for a wrong option.
 */
export async function openDevice(name = 'soft', options: OpenDeviceOptions = {}): Promise<Device> {
  const provider = PROVIDERS.find((candidate) => candidate.recognizes(name));
  try {
    if (provider !== undefined) return await provider.open(name, options);
  } catch (error) {
    throw withWayOut(error, name);
  }
  throw new RdmaError('ERR_RDMA_NO_DEVICE', `no kind of device has the name '${name}'`);
}

/** Whoever has no such device has at least the one that is everywhere. */
function withWayOut(error: unknown, name: string): unknown {
  if (!(error instanceof RdmaError)) return error;
  const { code, message, cause } = error;
  if (code !== 'ERR_RDMA_NO_DEVICE' && code !== 'ERR_RDMA_NO_LIBRARY') return error;
  const text = `there is no device '${name}': ${message}. The device 'soft' is there everywhere, without hardware`;
  return new RdmaError(code, text, { cause });
}

/** Two devices that reach each other through memory of this thread, and nobody else. */
export const openDevicePair = (): readonly [Device, Device] => SoftDevice.pair();

export interface DeviceListEntry {
  readonly name: string;
  readonly kind: string;
}

/** Names that `openDevice` takes on this machine. Without libibverbs the soft device alone. */
export async function listDevices(): Promise<readonly DeviceListEntry[]> {
  const kinds = await lookAround();
  return kinds.flatMap(({ kind, names }) => names.map((name) => ({ name, kind })));
}

export interface DeviceKind {
  readonly kind: string;
  /** For people. */
  readonly description: string;
  readonly names: readonly string[];
  /** Why this machine cannot have devices of this kind; `undefined` where it can. */
  readonly missing: string | undefined;
}

/** What there is of every kind of device. */
export function lookAround(): Promise<readonly DeviceKind[]> {
  return Promise.all(PROVIDERS.map(lookAt));
}

export interface NativeParts {
  /** Why there is no native addon; `null` when there is one. */
  readonly addon: string | null;
  /** Whether QUEUEPAIR_ADDON names it, or should. */
  readonly isChosen: boolean;
  /** How checksums are made: by carry-less multiplication of this width in bits, or from tables. */
  readonly crc32: 'tables' | 'folding-128' | 'folding-256' | 'folding-512';
}

/** The native addon as this process has it, for reports. */
export function nativeParts(): NativeParts {
  const addon = loadAddon();
  const chosen = process.env['QUEUEPAIR_ADDON'];
  const isChosen = chosen !== undefined && chosen !== 'none';
  if (typeof addon === 'string') return { addon, isChosen, crc32: 'tables' };
  let crc32: NativeParts['crc32'] = 'tables';
  if (addon.crc32Folding !== undefined) crc32 = 'folding-128';
  if (addon.crc32Wide256 !== undefined) crc32 = 'folding-256';
  if (addon.crc32Wide512 !== undefined) crc32 = 'folding-512';
  return { addon: null, isChosen, crc32 };
}

async function lookAt(provider: DeviceProvider): Promise<DeviceKind> {
  const { kind, description } = provider;
  try {
    return { kind, description, names: await provider.list(), missing: undefined };
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    return { kind, description, names: [], missing: error.message };
  }
}
