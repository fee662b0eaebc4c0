/**
 * Sends forged packets from a UDP socket. On loopback an attacker can bind the very address of somebody else, at
 * another port: for a peer on the standard port that is as good as its own, because RNICs vary their source port too.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { UdpAddress } from '../../src/verbs/address.js';
import { toAddress } from '../../testkit/nic-pair.js';
import { ROCE_PORT } from './loopback.js';

export class Injector implements AsyncDisposable {
  readonly source: UdpAddress;
  readonly destination: UdpAddress;
  readonly #socket: Socket;
  #unsent = 0;
  #whenSent: (() => void) | undefined;

  /** From `host`, at `port` or any free one, to the standard port of `target`. */
  static async open(host: string, target: string, port = 0, targetPort = ROCE_PORT): Promise<Injector> {
    const socket = createSocket({ type: 'udp4', sendBufferSize: 4 * 1024 * 1024 });
    socket.bind({ address: host, port });
    await once(socket, 'listening');
    socket.connect(targetPort, target);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return new Injector(socket, toAddress(host, socket.address().port), toAddress(target, targetPort));
  }

  private constructor(socket: Socket, source: UdpAddress, destination: UdpAddress) {
    this.#socket = socket;
    this.source = source;
    this.destination = destination;
  }

  /** `packet` must not change until `flush` has resolved. */
  send(packet: Uint8Array): void {
    this.#unsent++;
    this.#socket.send(packet, this.#onSent);
  }

  /** Resolves when the kernel has all of it. */
  async flush(): Promise<void> {
    if (this.#unsent === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenSent = resolve;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  readonly #onSent = (): void => {
    this.#unsent--;
    if (this.#unsent > 0) return;
    this.#whenSent?.();
    this.#whenSent = undefined;
  };
}
