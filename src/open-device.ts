/**
 * Opens a device by name: the one place that knows which kinds of device there are. Everything above sees only the
 * verbs contract.
 */
import { IbverbsDevice } from './ibverbs/ibverbs-device.js';
import { listIbverbsDevices } from './ibverbs/library.js';
import { SoftDevice } from './soft/soft-device.js';
import { isSoftName, parseSoftName } from './soft/soft-spec.js';
import type { Device } from './verbs/device.js';
import { RdmaError } from './verbs/errors.js';

/**
 * `soft` or `soft:ADDRESS[?port=N]` opens the embedded RoCEv2 device on an address of this machine; any other name is
 * that of an RDMA device of the operating system (`mlx5_0`, `rxe0`), through libibverbs.
 *
 * @throws RdmaError ERR_RDMA_NO_DEVICE for a name that is none, ERR_RDMA_NO_LIBRARY when it would need libibverbs and
 * there is none, ERR_RDMA_ADDRESS when the address cannot be bound, ERR_RDMA_INVALID_ARGUMENT for a wrong option.
 */
export async function openDevice(name = 'soft'): Promise<Device> {
  if (isSoftName(name)) return SoftDevice.open(parseSoftName(name));
  return IbverbsDevice.open(name);
}

export interface DeviceListEntry {
  readonly name: string;
  readonly kind: Device['kind'];
}

/** Names that `openDevice` takes on this machine. Without libibverbs the soft device alone. */
export async function listDevices(): Promise<readonly DeviceListEntry[]> {
  const names = await listIbverbsDevices().catch((error: unknown) => {
    if (error instanceof RdmaError) return [];
    throw error;
  });
  return [{ name: 'soft', kind: 'soft' }, ...names.map((name) => ({ name, kind: 'ibverbs' }) as const)];
}

/** Why `listDevices` could not look for devices of the operating system; `undefined` when it could. */
export async function whyNoIbverbs(): Promise<string | undefined> {
  try {
    await listIbverbsDevices();
    return undefined;
  } catch (error) {
    if (error instanceof RdmaError) return error.message;
    throw error;
  }
}
