/**
 * A port around a port: passes everything on, in both directions. Ports that watch or disturb what passes extend it and
 * change what they are about; for what arrives that is `onDatagram`.
 */
import { Datagram } from '../roce/datagram.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import type { UdpAddress } from '../verbs/address.js';
import { Arrivals } from './arrivals.js';
import type { PortLink, PortListener, UdpPort } from './udp-port.js';

export class PortAround implements UdpPort, PortListener {
  listener: PortListener | null = null;
  protected readonly inner: UdpPort;
  readonly #passing = new Datagram();
  /** What the owner has, and what passes meanwhile: taken with the next `receive`. */
  #arrived = new Arrivals();
  #coming = new Arrivals();

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

  get joinsRuns(): boolean {
    return this.inner.joinsRuns;
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

  get mayHaveMore(): boolean {
    return this.inner.mayHaveMore;
  }

  get lookedMicros(): number {
    return this.inner.lookedMicros;
  }

  receive(looks: number): number {
    const passing = this.#passing;
    const found = this.inner.receive(looks);
    for (let i = 0; i < found; i++) {
      this.inner.read(i, passing);
      this.onDatagram(passing);
    }
    const arrived = this.#coming;
    this.#coming = this.#arrived;
    this.#coming.clear();
    this.#arrived = arrived;
    return arrived.count;
  }

  read(index: number, into: Datagram): void {
    this.#arrived.read(index, into);
  }

  giveWay(): void {
    this.inner.giveWay?.();
  }

  wakeOnArrival(isOn: boolean): void {
    this.inner.wakeOnArrival(isOn);
  }

  readHopLimits(): void {
    this.inner.readHopLimits?.();
  }

  setTurning(isTurning: boolean): void {
    this.inner.setTurning?.(isTurning);
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

  ref(): void {
    this.inner.ref();
  }

  unref(): void {
    this.inner.unref();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  onReadable(): void {
    this.listener?.onReadable();
  }

  onWritable(): void {
    this.listener?.onWritable();
  }

  /** A datagram has arrived at the inner port; the description is only valid during the call. */
  protected onDatagram(datagram: Datagram): void {
    this.pass(datagram);
  }

  /** The owner gets this datagram with the next `receive`. Its bytes are those of the inner port, or stay as they are. */
  protected pass(datagram: Datagram): void {
    this.#coming.add(datagram);
  }
}
