/** A port around a port that can go dark: while it is, nothing leaves and nothing arrives, as if the cable were out. */
import type { Datagram } from '../../src/roce/datagram.js';
import type { TransmitBatch } from '../../src/roce/transmit-batch.js';
import type { UdpAddress } from '../../src/roce/wire/address.js';
import type { PortListener, UdpPort } from '../../src/soft/udp-port.js';

export class SwitchedPort implements UdpPort, PortListener {
  listener: PortListener | null = null;
  isDark = false;
  readonly #inner: UdpPort;

  constructor(inner: UdpPort) {
    this.#inner = inner;
    inner.listener = this;
  }

  get kind(): string {
    return this.#inner.kind;
  }

  get address(): UdpAddress {
    return this.#inner.address;
  }

  get exactIcrc(): boolean {
    return this.#inner.exactIcrc;
  }

  get writable(): boolean {
    return this.#inner.writable;
  }

  send(batch: TransmitBatch): void {
    if (!this.isDark) this.#inner.send(batch);
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
    if (!this.isDark) this.listener?.onDatagram(datagram);
  }

  onWritable(): void {
    this.listener?.onWritable();
  }
}
