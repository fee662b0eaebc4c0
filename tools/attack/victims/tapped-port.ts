/** A port around a port that counts what leaves and keeps what comes in, as somebody would who listens on the wire. */
import type { Datagram } from '../../../src/roce/datagram.js';
import type { TransmitBatch } from '../../../src/roce/transmit-batch.js';
import type { PortListener, UdpPort } from '../../../src/soft/udp-port.js';

export class TappedPort implements UdpPort, PortListener {
  listener: PortListener | null = null;
  /** UDP payloads, from the BTH to the ICRC; `null` while nobody listens. */
  heard: Uint8Array[] | null = null;
  /** Packets that have left. */
  sent = 0;
  readonly #inner: UdpPort;

  constructor(inner: UdpPort) {
    this.#inner = inner;
    inner.listener = this;
  }

  get kind(): string {
    return this.#inner.kind;
  }

  get address(): UdpPort['address'] {
    return this.#inner.address;
  }

  get exactIcrc(): boolean {
    return this.#inner.exactIcrc;
  }

  get writable(): boolean {
    return this.#inner.writable;
  }

  send(batch: TransmitBatch): void {
    this.sent += batch.count;
    this.#inner.send(batch);
  }

  annotate(text: string): void {
    this.#inner.annotate(text);
  }

  counters(): Readonly<Record<string, number>> {
    return this.#inner.counters();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  onDatagram(datagram: Datagram): void {
    const { bytes, at, length } = datagram;
    this.heard?.push(Uint8Array.from(bytes.subarray(at, at + length)));
    this.listener?.onDatagram(datagram);
  }

  onWritable(): void {
    this.listener?.onWritable();
  }
}
