/**
 * Packets on their way to a port: for each one its header bytes in an arena, its flow, and its payload as references
 * into memory regions. The engine fills a batch and the port empties it within the same turn of the event loop,
 * copying (dgram) or gathering (native) as it likes; pad bytes and the ICRC are the port's to add.
 *
 * Everything is allocated once, for `capacity` packets. A packet is added by `begin`, writing the header at the
 * returned offset of `headers`, `addSegment` for each piece of payload, and `commit`.
 */
import type { Flow } from './flow.js';
import type { Region } from './memory/region.js';
import { packetBytes } from './wire/bth.js';

/** Room for the largest header: BTH and AtomicETH take 40 bytes. */
export const HEADER_STRIDE_BYTES = 64;

/** What a packet costs beside its bytes: making and taking it takes as long as copying so many. */
const PACKET_COST = 1024;
/** Of a turn without end. */
const ENDLESS = 2 ** 30 - 1;

/** The most pieces of memory that one packet is gathered from. */
export const MAX_SEGMENTS_PER_PACKET = 32;

export class TransmitBatch {
  readonly capacity: number;
  count = 0;
  segmentCount = 0;
  /** Bytes of all its packets as UDP payloads, pad and ICRC included. */
  wireBytes = 0;
  /** Bytes of all its packets, and of each what it costs beside them. */
  cost = 0;
  #turnEnd = ENDLESS;
  readonly headers: Uint8Array;
  readonly headerLength: Uint8Array;
  readonly payloadLength: Int32Array;
  readonly flow: (Flow | null)[];
  /** Packet i owns the segments from `segmentStart[i]` up to, not including, `segmentStart[i + 1]`. */
  readonly segmentStart: Int32Array;
  readonly segmentRegion: (Region | null)[];
  /** Byte offset in the region. */
  readonly segmentOffset: Float64Array;
  readonly segmentLength: Int32Array;
  /** With no more segments than this there is room for those of any packet. */
  readonly #segmentLimit: number;

  constructor(capacity: number) {
    const segments = capacity * 2 + MAX_SEGMENTS_PER_PACKET;
    this.capacity = capacity;
    this.headers = new Uint8Array(capacity * HEADER_STRIDE_BYTES);
    this.headerLength = new Uint8Array(capacity);
    this.payloadLength = new Int32Array(capacity);
    this.flow = new Array<Flow | null>(capacity).fill(null);
    this.segmentStart = new Int32Array(capacity + 1);
    this.segmentRegion = new Array<Region | null>(segments).fill(null);
    this.segmentOffset = new Float64Array(segments);
    this.segmentLength = new Int32Array(segments);
    this.#segmentLimit = segments - MAX_SEGMENTS_PER_PACKET;
  }

  /** Whether one more packet of any shape is sure to fit, and the turn of the sender is not over. */
  get hasRoom(): boolean {
    return this.cost < this.#turnEnd && !this.isFull;
  }

  get isFull(): boolean {
    return this.count >= this.capacity || this.segmentCount > this.#segmentLimit;
  }

  /** How many packets of that shape, each in one piece, fit while `hasRoom` stays true before each. */
  roomFor(headerLength: number, payloadLength: number): number {
    const left = this.#turnEnd - this.cost;
    const each = packetBytes(headerLength, payloadLength) + PACKET_COST;
    return Math.min(
      Math.max(0, Math.ceil(left / each)),
      this.capacity - this.count,
      this.#segmentLimit - this.segmentCount + 1,
    );
  }

  /** A sender may add packets until they have cost so much. The last one may cost more. */
  beginTurn(cost: number): void {
    this.#turnEnd = this.cost + cost;
  }

  /** The turn is not over before what is added from now on has cost so much. */
  prolongTurn(cost: number): void {
    const end = this.cost + cost;
    if (end > this.#turnEnd) this.#turnEnd = end;
  }

  endTurn(): void {
    this.#turnEnd = ENDLESS;
  }

  /** Starts a packet; returns the offset in `headers` where its BTH goes. */
  begin(): number {
    return this.count * HEADER_STRIDE_BYTES;
  }

  addSegment(region: Region, offset: number, length: number): void {
    const index = this.segmentCount++;
    this.segmentRegion[index] = region;
    this.segmentOffset[index] = offset;
    this.segmentLength[index] = length;
  }

  commit(flow: Flow, headerLength: number, payloadLength: number): void {
    const index = this.count++;
    this.flow[index] = flow;
    this.headerLength[index] = headerLength;
    this.payloadLength[index] = payloadLength;
    this.segmentStart[index + 1] = this.segmentCount;
    const bytes = packetBytes(headerLength, payloadLength);
    this.wireBytes += bytes;
    this.cost += bytes + PACKET_COST;
  }

  /** Empties the batch and lets go of the memory that it named. */
  reset(): void {
    for (let i = 0; i < this.count; i++) this.flow[i] = null;
    for (let i = 0; i < this.segmentCount; i++) this.segmentRegion[i] = null;
    this.count = 0;
    this.segmentCount = 0;
    this.wireBytes = 0;
    this.cost = 0;
  }
}
