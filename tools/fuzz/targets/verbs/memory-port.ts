/**
 * Two UDP ports that are joined in memory: what one sends arrives at the other in the same turn of the event loop, in
 * order, unless its queue is full.
 */
import type { Datagram } from '../../../../src/roce/datagram.js';
import type { Flow } from '../../../../src/roce/flow.js';
import type { Region } from '../../../../src/roce/memory/region.js';
import { packetLength, writePacket } from '../../../../src/roce/packet-writer.js';
import type { TransmitBatch } from '../../../../src/roce/transmit-batch.js';
import type { Icrc } from '../../../../src/roce/wire/icrc.js';
import type { PortListener, UdpPort } from '../../../../src/soft/udp-port.js';
import { copyAddress, sameGid, type UdpAddress } from '../../../../src/verbs/address.js';
import { toAddress } from '../../../../testkit/nic-pair.js';

const MAX_WAITING = 512;

export class MemoryPort implements UdpPort {
  readonly kind = 'memory';
  readonly joinsRuns = false;
  readonly canPoll = false;
  readonly mayHaveMore = false;
  readonly lookedMicros = Number.NEGATIVE_INFINITY;
  readonly exactIcrc = true;
  readonly link = null;
  readonly address: UdpAddress;
  listener: PortListener | null = null;
  peer: MemoryPort | null = null;
  /** Nothing that is sent arrives. */
  cut = false;
  sentPackets = 0;
  /** A packet named bytes behind the end of its region. */
  sentBeyond = false;
  readonly #icrc: Icrc;
  /** Packets for the peer. */
  readonly #waiting: Uint8Array[] = [];
  #arrived: Uint8Array[] = [];
  #isTelling = false;
  #closed = false;

  constructor(address: string, icrc: Icrc) {
    this.address = toAddress(address);
    this.#icrc = icrc;
  }

  get writable(): boolean {
    return !this.#closed;
  }

  send(batch: TransmitBatch): void {
    for (let i = 0; i < batch.segmentCount; i++) {
      const end = (batch.segmentOffset[i] as number) + (batch.segmentLength[i] as number);
      if (end > (batch.segmentRegion[i] as Region).bytes.length) this.sentBeyond = true;
    }
    for (let i = 0; i < batch.count; i++) {
      const packet = new Uint8Array(packetLength(batch, i));
      writePacket(batch, i, packet, 0, this.#icrc);
      this.sentPackets++;
      const { destination } = batch.flow[i] as Flow;
      const { peer } = this;
      const isForPeer = peer !== null && sameGid(destination, peer.address);
      if (isForPeer && !this.cut && this.#waiting.length < MAX_WAITING) this.#waiting.push(packet);
    }
    if (this.#isTelling || this.#waiting.length === 0) return;
    this.#isTelling = true;
    queueMicrotask(() => this.#tell());
  }

  receive(): number {
    const { peer } = this;
    this.#arrived = peer === null || this.#closed ? [] : peer.#waiting.splice(0);
    return this.#arrived.length;
  }

  read(index: number, into: Datagram): void {
    const packet = this.#arrived[index] as Uint8Array;
    into.bytes = packet;
    into.at = 0;
    into.length = packet.length;
    copyAddress((this.peer as MemoryPort).address, into.source);
    copyAddress(this.address, into.destination);
  }

  wakeOnArrival(): void {}

  ref(): void {}

  unref(): void {}

  annotate(): void {}

  counters(): Readonly<Record<string, number>> {
    return {};
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.listener = null;
    this.#waiting.length = 0;
  }

  #tell(): void {
    this.#isTelling = false;
    this.peer?.listener?.onReadable();
  }
}
