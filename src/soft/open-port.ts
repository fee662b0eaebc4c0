/**
 * Opens the port that a soft device's name asks for. Without a word about it: the native addon, with rings towards devices of this
 * user and host that have them too; without the addon node:dgram. A capture shows what is on the wire, and so a device that
 * captures has UDP alone unless its name says otherwise.
 */
import { loadAddon } from '../native/addon.js';
import { ROCE_PORT } from '../roce/nic.js';
import type { Icrc } from '../roce/wire/icrc.js';
import { parseGid, type UdpAddress } from '../verbs/address.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { CapturingPort } from './capturing-port.js';
import { DgramPort } from './dgram-port.js';
import { FaultyPort } from './faulty-port.js';
import { NativePort } from './native-port.js';
import type { SoftDeviceSpec } from './soft-spec.js';
import type { UdpPort } from './udp-port.js';

/**
 * @throws RdmaError ERR_RDMA_ADDRESS when the address cannot be bound or the capture not be written,
 * ERR_RDMA_NOT_SUPPORTED when the name asks for the native addon and there is none.
 */
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

type Bind = (address: UdpAddress) => UdpPort | Promise<UdpPort>;

async function bindPort(spec: SoftDeviceSpec, icrc: Icrc): Promise<UdpPort> {
  const bind = chooseKind(spec, icrc);
  if (spec.port !== undefined) return bind(toAddress(spec.address, spec.port));
  try {
    return await bind(toAddress(spec.address, ROCE_PORT));
  } catch (error) {
    // The standard port may belong to another soft device of this host: peers learn ours from the session.
    const taken = error instanceof RdmaError && (error.cause as NodeJS.ErrnoException)?.code === 'EADDRINUSE';
    if (!taken) throw error;
    return bind(toAddress(spec.address, 0));
  }
}

function chooseKind({ io, capture }: SoftDeviceSpec, icrc: Icrc): Bind {
  const overDgram: Bind = (address) => DgramPort.open(address, icrc);
  if (io === 'dgram') return overDgram;
  const addon = loadAddon();
  if (typeof addon !== 'string') {
    const kind = io ?? (capture === undefined ? 'shm' : 'native');
    return (address) => NativePort.open(address, addon, kind);
  }
  if (io !== undefined) throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', `io=${io} is not possible: ${addon}`);
  sayOnce(addon);
  return overDgram;
}

let isSaid = false;

function sayOnce(reason: string): void {
  if (!isSaid)
    process.emitWarning(`soft devices run over node:dgram: ${reason}`, { code: 'QUEUEPAIR_DGRAM' });
  isSaid = true;
}

function toAddress(text: string, port: number): UdpAddress {
  const address = parseGid(text);
  if (address === undefined) throw usageError(`'${text}' is not an IP address`);
  address.port = port;
  return address;
}
