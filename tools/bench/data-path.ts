/** How soft devices move packets on this machine: over the native UDP port, which can be polled, or over node:dgram. */
import { openDevice } from '../../src/open-device.js';

export interface DataPath {
  readonly kind: 'native' | 'dgram';
  /** Why it is not the native one. */
  readonly reason?: string;
}

/** Over IPv4 the ICRC is exact on the native port only, so the port says which it is. */
export async function findDataPath(device: string): Promise<DataPath> {
  const opened = await openDevice(device);
  const { exactIcrc } = await opened.queryPort();
  await opened.close();
  if (exactIcrc) return { kind: 'native' };
  return { kind: 'dgram', reason: 'the native UDP port is not built: the device runs over node:dgram' };
}
