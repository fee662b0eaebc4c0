/**
 * Two ports that are joined in memory: what one sends the other receives, in order, in the same thread, and nothing of it leaves the
 * process. They have no socket, and no address that anybody else could reach.
 *
 * Invariant: a packet is copied when it is sent, and counts as verified: nobody could have changed it. What a port has no room for is
 * lost, as in a socket's full buffer.
 */
import type { Datagram } from '../roce/datagram.js';
import { gatherPacket } from '../roce/packet-writer.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import { ICRC_LENGTH } from '../roce/wire/bth.js';
import { copyAddress, UdpAddress } from '../verbs/address.js';
import type { PortListener, UdpPort } from './udp-port.js';

/** Packets that may wait to be received, beside those that are being read. */
const PLACES = 128;
/** BTH, the largest extension headers, 4096 bytes of payload and pad. */
const PLACE_BYTES = 4096 + 64;

export class MemoryPort implements UdpPort {
  readonly kind = 'memory';
  readonly exactIcrc = true;
  readonly joinsRuns = true;
  readonly writable = true;
  readonly link = null;
  readonly canPoll = true;
  readonly mayHaveMore = false;
  // Never a small integer, so that its place never changes.
  readonly lookedMicros = Number.NEGATIVE_INFINITY;
  readonly address = new UdpAddress();
  listener: PortListener | null = null;
  #peer: MemoryPort | null = null;
  /** The owner wants to be told of what has come, unless it looks in every turn of the event loop. */
  #isWatched = true;
  #isTurning = false;
  #isClosed = false;
  #telling: NodeJS.Immediate | null = null;
  /** What has come, place by place; the first `#reading` are those of the last `receive`. */
  readonly #bytes = new Uint8Array(PLACES * PLACE_BYTES);
  readonly #lengths = new Int32Array(PLACES);
  /** Place of the first packet of the last `receive`, their number, and the number of those behind them. */
  #first = 0;
  #reading = 0;
  #waiting = 0;

  /** `address`: any of this machine; the ports get the UDP ports 1 and 2 of it. */
  static pair(address: UdpAddress): readonly [MemoryPort, MemoryPort] {
    const ports = [new MemoryPort(address, 1), new MemoryPort(address, 2)] as const;
    ports[0].#peer = ports[1];
    ports[1].#peer = ports[0];
    return ports;
  }

  private constructor(address: UdpAddress, port: number) {
    copyAddress(address, this.address);
    this.address.port = port;
  }

  send(batch: TransmitBatch): void {
    const peer = this.#peer;
    if (peer === null || peer.#isClosed) return;
    for (let i = 0; i < batch.count; i++) peer.#take(batch, i);
    peer.#tellSoon();
  }

  receive(): number {
    this.#first = (this.#first + this.#reading) % PLACES;
    this.#reading = this.#waiting;
    this.#waiting = 0;
    return this.#reading;
  }

  read(index: number, into: Datagram): void {
    const place = (this.#first + index) % PLACES;
    into.bytes = this.#bytes;
    into.at = place * PLACE_BYTES;
    into.length = this.#lengths[place] as number;
    into.icrcVerified = true;
    into.trafficClass = 0;
    into.hopLimit = 64;
    into.congestionExperienced = false;
    copyAddress(this.address, into.destination);
    if (this.#peer !== null) copyAddress(this.#peer.address, into.source);
  }

  giveWay(): void {}

  wakeOnArrival(isOn: boolean): void {
    this.#isWatched = isOn;
    this.#tellSoon();
  }

  setTurning(isTurning: boolean): void {
    this.#isTurning = isTurning;
    this.#tellSoon();
  }

  annotate(): void {}

  counters(): Readonly<Record<string, number>> {
    return {};
  }

  /** It never keeps the process alive. */
  ref(): void {}

  unref(): void {}

  async close(): Promise<void> {
    this.#isClosed = true;
    this.listener = null;
    this.#peer = null;
    this.#reading = 0;
    this.#waiting = 0;
    if (this.#telling !== null) clearImmediate(this.#telling);
    this.#telling = null;
  }

  #take(batch: TransmitBatch, index: number): void {
    const used = this.#reading + this.#waiting;
    if (used === PLACES) return;
    const place = (this.#first + used) % PLACES;
    const at = place * PLACE_BYTES;
    this.#lengths[place] = gatherPacket(batch, index, this.#bytes, at) + ICRC_LENGTH;
    this.#waiting++;
  }

  #tellSoon(): void {
    if (this.#waiting === 0 || !this.#isWatched || this.#isTurning) return;
    this.#telling ??= setImmediate(() => {
      this.#telling = null;
      if (this.#waiting > 0) this.listener?.onReadable();
    });
  }
}
