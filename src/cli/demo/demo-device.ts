/**
 * The device of one process of the demo. Each has a loopback address of its own, so that all are on the standard UDP
 * port as if they were hosts of a network; where that cannot be, they share 127.0.0.1 and take any free port.
 */
import { openDevice } from '../../open-device.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import type { DeviceEvent } from './protocol.js';

const STANDARD_PORT = 4791;

export async function openDemoDevice(
  address: string,
  capture: string | undefined,
): Promise<{ device: Device; event: DeviceEvent }> {
  const options = capture === undefined ? '' : `capture=${encodeURIComponent(capture)}`;
  let device: Device;
  let fallback: string | undefined;
  try {
    device = await openDevice(`soft:${address}${options === '' ? '' : `?${options}`}`);
  } catch (error) {
    if (!(error instanceof RdmaError) || error.code !== 'ERR_RDMA_ADDRESS') throw error;
    device = await openDevice(`soft:127.0.0.1?port=0${options === '' ? '' : `&${options}`}`);
    fallback = `${address} is no address of this machine`;
  }
  const { udpPort, activeMtu } = await device.queryPort();
  if (udpPort !== STANDARD_PORT) fallback ??= `UDP port ${STANDARD_PORT} of ${address} is taken`;
  return {
    device,
    event: {
      event: 'device',
      pid: process.pid,
      device: device.name,
      udpPort,
      pathMtu: activeMtu,
      ...(fallback === undefined ? {} : { fallback }),
    },
  };
}
