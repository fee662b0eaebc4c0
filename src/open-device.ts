/**
 * Opens a device by name: the one place that knows which kinds of device there are. Everything above sees only the
 * verbs contract.
 */
import { SoftDevice } from './soft/soft-device.js';
import { isSoftName, parseSoftName } from './soft/soft-spec.js';
import type { Device } from './verbs/device.js';
import { RdmaError } from './verbs/errors.js';

/**
 * `soft` or `soft:ADDRESS[?port=N]` opens the embedded RoCEv2 device on an address of this machine.
 *
 * @throws RdmaError ERR_RDMA_NO_DEVICE for a name that is none, ERR_RDMA_ADDRESS when the address cannot be bound,
 * ERR_RDMA_INVALID_ARGUMENT for a wrong option.
 */
export async function openDevice(name = 'soft'): Promise<Device> {
  if (isSoftName(name)) return SoftDevice.open(parseSoftName(name));
  throw new RdmaError('ERR_RDMA_NO_DEVICE', `no device is called '${name}'; use soft or soft:ADDRESS`);
}

export interface DeviceListEntry {
  readonly name: string;
  readonly kind: Device['kind'];
}

/** Names that `openDevice` takes on this machine. */
export async function listDevices(): Promise<readonly DeviceListEntry[]> {
  return [{ name: 'soft', kind: 'soft' }];
}
