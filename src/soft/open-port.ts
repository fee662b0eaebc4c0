/** Opens the UDP port that a soft device's name asks for. */
import { ROCE_PORT } from '../roce/nic.js';
import { parseGid, type UdpAddress } from '../roce/wire/address.js';
import type { Icrc } from '../roce/wire/icrc.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { CapturingPort } from './capturing-port.js';
import { DgramPort } from './dgram-port.js';
import { FaultyPort } from './faulty-port.js';
import type { SoftDeviceSpec } from './soft-spec.js';
import type { UdpPort } from './udp-port.js';

/** @throws RdmaError ERR_RDMA_ADDRESS when the address cannot be bound or the capture not be written. */
export async function openPort(spec: SoftDeviceSpec, icrc: Icrc): Promise<UdpPort> {
  let port: UdpPort = await bindPort(spec, icrc);
  if (spec.capture !== undefined) {
    try {
      port = await CapturingPort.open(port, spec.capture, icrc);
    } catch (error) {
      await port.close();
      throw error;
    }
  }
  // Outermost, so that a capture shows what was on the wire, and not what the faults left of it.
  if (spec.faults !== undefined) port = new FaultyPort(port, spec.faults);
  return port;
}

async function bindPort(spec: SoftDeviceSpec, icrc: Icrc): Promise<UdpPort> {
  if (spec.port !== undefined) return DgramPort.open(toAddress(spec.address, spec.port), icrc);
  try {
    return await DgramPort.open(toAddress(spec.address, ROCE_PORT), icrc);
  } catch (error) {
    // The standard port may belong to another soft device of this host: peers learn ours from the session.
    const taken = error instanceof RdmaError && (error.cause as NodeJS.ErrnoException)?.code === 'EADDRINUSE';
    if (!taken) throw error;
    return DgramPort.open(toAddress(spec.address, 0), icrc);
  }
}

function toAddress(text: string, port: number): UdpAddress {
  const address = parseGid(text);
  if (address === undefined) throw usageError(`'${text}' is not an IP address`);
  address.port = port;
  return address;
}
