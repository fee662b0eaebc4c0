/**
 * A port around a port: passes everything on, in both directions. Ports that watch or disturb what passes extend it and
 * change what they are about.
 */
import type { Datagram } from '../roce/datagram.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import type { UdpAddress } from '../verbs/address.js';
import type { PortLink, PortListener, UdpPort } from './udp-port.js';

export class PortAround implements UdpPort, PortListener {
  listener: PortListener | null = null;
  protected readonly inner: UdpPort;

  constructor(inner: UdpPort) {
    this.inner = inner;
    inner.listener = this;
  }

  get kind(): string {
    return this.inner.kind;
  }

  get address(): UdpAddress {
    return this.inner.address;
  }

  get exactIcrc(): boolean {
    return this.inner.exactIcrc;
  }

  get link(): PortLink | null {
    return this.inner.link;
  }

  get writable(): boolean {
    return this.inner.writable;
  }

  get canPoll(): boolean {
    return this.inner.canPoll;
  }

  poll(): boolean {
    return this.inner.poll();
  }

  deliverKept(): void {}

  setTelling(isTelling: boolean): void {
    this.inner.setTelling(isTelling);
  }

  send(batch: TransmitBatch): void {
    this.inner.send(batch);
  }

  annotate(text: string): void {
    this.inner.annotate(text);
  }

  counters(): Readonly<Record<string, number>> {
    return this.inner.counters();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Who watches or disturbs what passes gets each datagram when it comes. */
  mayWait(): boolean {
    return false;
  }

  onDatagram(datagram: Datagram): void {
    this.listener?.onDatagram(datagram);
  }

  onWritable(): void {
    this.listener?.onWritable();
  }
}
