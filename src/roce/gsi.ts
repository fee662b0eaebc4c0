/**
 * Queue pair 1 of a NIC, the general service interface: management datagrams (GMPs) of exactly 256 bytes in UD packets,
 * which the communication manager lives on. What is in them is its business (docs/rocev2.md, "Queue pair 1").
 *
 * Invariants: a datagram that is not as it must be is dropped with its reason, and nothing is remembered of it; nothing
 * but 256 bytes ever leaves; what waits to be sent is bounded, and what finds no room is counted.
 */
import type { Datagram } from './datagram.js';
import type { Timed } from './deadlines.js';
import { DropReason } from './drop-reason.js';
import type { Flow } from './flow.js';
import { GMP_HEADER_BYTES, GSI_QKEY, writeGmpHeaders } from './mad/gmp.js';
import { MAD_BYTES } from './mad/mad.js';
import { privateRegion } from './memory/region.js';
import { psnAdd } from './psn.js';
import type { Sender } from './sender.js';
import type { TransmitBatch } from './transmit-batch.js';
import { dethQkey } from './wire/deth.js';
import { DETH_AT, OpcodeFlag } from './wire/opcodes.js';
import type { PacketView } from './wire/packet.js';

/** GMPs that may leave before it is another sender's turn. */
const TURN_PACKETS = 32;
/** What may wait to be sent. GMPs are repeated by those who need an answer. */
const MAX_WAITING = 4096;

/** The user of queue pair 1. Times are those of the NIC. */
export interface GsiOwner {
  /** Takes the MAD of a GMP, whose bytes are valid during the call alone. Never throws, whatever is in it. */
  onGmp(mad: Uint8Array, datagram: Datagram, now: number): void;
  /** The time given to `armTimer` has come, or an earlier one. */
  onTimeout(now: number): void;
}

interface GsiHost {
  schedule(gsi: Gsi): void;
  armTimer(gsi: Gsi, at: number): void;
}

interface WaitingGmp {
  readonly mad: Uint8Array;
  readonly flow: Flow;
}

export class Gsi implements Sender, Timed {
  readonly counters = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  /** GMPs that found no room to wait in. */
  dropped = 0;
  scheduled = false;
  nextScheduled: Sender | null = null;
  credit = 0;
  readonly destroyed = false;
  heapIndex = -1;
  heapKey = Number.POSITIVE_INFINITY;
  readonly #owner: GsiOwner;
  readonly #host: GsiHost;
  readonly #waiting: WaitingGmp[] = [];
  /** One place for each packet of a batch, which is emptied before the next one is filled. */
  #payloads = privateRegion(new Uint8Array(0), 0);
  #nextPsn = 0;

  constructor(host: GsiHost, owner: GsiOwner) {
    this.#host = host;
    this.#owner = owner;
  }

  /** Its owner says it anew whenever it is called. */
  get nextDeadline(): number {
    return this.heapKey;
  }

  /** The owner wants to be called then, µs; infinity for never. */
  armTimer(at: number): void {
    this.#host.armTimer(this, at);
  }

  handleTimeout(now: number): void {
    this.#owner.onTimeout(now);
  }

  /** Sends `mad` to queue pair 1 at the flow's destination. The bytes are not copied before they leave. */
  send(mad: Uint8Array, flow: Flow): void {
    if (mad.length !== MAD_BYTES || this.#waiting.length >= MAX_WAITING) {
      this.dropped++;
      return;
    }
    this.#waiting.push({ mad, flow });
    this.#host.schedule(this);
  }

  /** In a packet of this NIC's address, whose ICRC is right. */
  onPacket(packet: PacketView, datagram: Datagram, now: number): DropReason {
    const reason = checkGmp(packet);
    if (reason !== DropReason.NONE) return reason;
    this.counters.rxPackets++;
    this.counters.rxBytes += datagram.length;
    this.#owner.onGmp(packet.payload(), datagram, now);
    return DropReason.NONE;
  }

  transmit(batch: TransmitBatch): boolean {
    const count = Math.min(this.#waiting.length, TURN_PACKETS);
    let sent = 0;
    while (sent < count && batch.hasRoom) this.#transmitOne(this.#waiting[sent++] as WaitingGmp, batch);
    this.#waiting.splice(0, sent);
    return this.#waiting.length > 0;
  }

  #transmitOne({ mad, flow }: WaitingGmp, batch: TransmitBatch): void {
    if (this.#payloads.length < batch.capacity * MAD_BYTES)
      this.#payloads = privateRegion(new Uint8Array(batch.capacity * MAD_BYTES), 0);
    const payloadAt = batch.count * MAD_BYTES;
    this.#payloads.bytes.set(mad, payloadAt);
    writeGmpHeaders(batch.headers, batch.begin(), this.#nextPsn);
    batch.addSegment(this.#payloads, payloadAt, MAD_BYTES);
    batch.commit(flow, GMP_HEADER_BYTES, MAD_BYTES);
    this.#nextPsn = psnAdd(this.#nextPsn, 1);
  }
}

function checkGmp(packet: PacketView): DropReason {
  if ((packet.flags & OpcodeFlag.UD) === 0) return DropReason.WRONG_SERVICE;
  if (packet.payloadLength !== MAD_BYTES || packet.padCount !== 0) return DropReason.BAD_LENGTH;
  if (dethQkey(packet.bytes, packet.at + DETH_AT) !== GSI_QKEY) return DropReason.BAD_QKEY;
  return DropReason.NONE;
}
