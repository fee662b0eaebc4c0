/**
 * A port around a port that can lose what arrives, all of it as if the cable were out or some of it by chance, and that
 * can be told so while it works.
 */
import type { Datagram } from '../../src/roce/datagram.js';
import type { TransmitBatch } from '../../src/roce/transmit-batch.js';
import type { UdpAddress } from '../../src/roce/wire/address.js';
import type { PortListener, UdpPort } from '../../src/soft/udp-port.js';
import { Random } from '../sim/random.js';

export class SwitchedPort implements UdpPort, PortListener {
  listener: PortListener | null = null;
  isDark = false;
  /** Probability of each datagram that arrives. */
  loss = 0;
  readonly #random: Random;
  readonly #inner: UdpPort;

  constructor(inner: UdpPort, seed: number) {
    this.#inner = inner;
    this.#random = new Random(seed);
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
    if (this.isDark || (this.loss > 0 && this.#random.chance(this.loss))) return;
    this.listener?.onDatagram(datagram);
  }

  onWritable(): void {
    this.listener?.onWritable();
  }
}
