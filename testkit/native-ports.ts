/** Native ports without a device around them. */
import { loadAddon } from '../src/native/addon.js';
import { Datagram } from '../src/roce/datagram.js';
import { Flow } from '../src/roce/flow.js';
import { NativePort } from '../src/soft/native-port.js';
import type { UdpPort } from '../src/soft/udp-port.js';
import { copyAddress } from '../src/verbs/address.js';
import { toAddress } from './nic-pair.js';

export function openNativePort(
  address = '127.0.0.1',
  kind: NativePort['kind'] = 'native',
  port = 0,
): NativePort {
  const addon = loadAddon();
  if (typeof addon === 'string') throw new Error(addon);
  return NativePort.open(toAddress(address, port), addon, kind);
}

export function flowBetween(from: NativePort, to: NativePort): Flow {
  const flow = new Flow();
  copyAddress(from.address, flow.source);
  copyAddress(to.address, flow.destination);
  return flow;
}

/** Takes in what arrives at a port, as a driver does, and hands each datagram on until the port is closed. */
export class PortEar {
  readonly #port: UdpPort;
  readonly #datagram = new Datagram();
  readonly #onDatagram: (datagram: Datagram) => void;

  constructor(port: UdpPort, onDatagram: (datagram: Datagram) => void, onWritable: () => void = () => {}) {
    this.#port = port;
    this.#onDatagram = onDatagram;
    port.listener = { onReadable: () => void this.poll(), onWritable };
  }

  /** Returns whether anything had come. */
  poll(): boolean {
    const port = this.#port;
    const count = port.receive(1);
    for (let i = 0; i < count && port.listener !== null; i++) {
      port.read(i, this.#datagram);
      this.#onDatagram(this.#datagram);
    }
    return count > 0;
  }
}
