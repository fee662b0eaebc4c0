/**
 * Two rsocket machines with memory of their own, and between them a channel that keeps order, as a queue pair of the
 * reliable service does. Its owner says when a message arrives, and when an acknowledgement does. Writes that leave the
 * memory that was given out are told at once.
 */

import { MAX_CONTROLS, RsocketMachine } from '../src/net/rsocket/rsocket-machine.js';
import { PostKind, type RsocketPost } from '../src/net/rsocket/rsocket-post.js';
import { ImmediateKind, immediateKind } from '../src/net/rsocket/wire/immediate.js';
import { IOMAP_ENTRY_BYTES } from '../src/net/rsocket/wire/iomap-entry.js';
import {
  type RsocketTerms,
  readPrivateData,
  writePrivateData,
} from '../src/net/rsocket/wire/private-data.js';
import { SGL_ENTRY_BYTES } from '../src/net/rsocket/wire/sgl-entry.js';

export interface RsocketSizes {
  readonly ringBytes: number;
  readonly credits: number;
  readonly tableEntries: number;
  readonly iomapEntries: number;
  readonly isBigEndian: boolean;
  readonly sendRingBytes: number;
  readonly maxMessageBytes: number;
  readonly maxPosts: number;
}

interface Message {
  readonly remoteAddr: number;
  readonly rkey: number;
  readonly imm: number;
  /** Looked at when it arrives: until it is acknowledged, the memory belongs to the device. */
  readonly bytes: Uint8Array;
}

/** A piece of memory under the name by which the peer writes it. */
interface Area {
  readonly addr: number;
  readonly rkey: number;
  readonly bytes: Uint8Array;
}

export class RsocketEnd {
  readonly terms: RsocketTerms;
  readonly ring: Uint8Array;
  readonly sendRing: Uint8Array;
  readonly table: Uint8Array;
  readonly areas: Area[];
  readonly sizes: RsocketSizes;
  /** Sent by this end, not arrived. */
  readonly underway: Message[] = [];
  /** Arrived at the peer, not acknowledged. */
  unacknowledged = 0;
  /** Bytes of data that have come to this end. */
  arrived = 0;
  machine!: RsocketMachine;

  constructor(sizes: RsocketSizes, base: number) {
    this.sizes = sizes;
    this.ring = new Uint8Array(sizes.ringBytes);
    this.sendRing = new Uint8Array(sizes.sendRingBytes);
    const { tableEntries, iomapEntries } = sizes;
    this.table = new Uint8Array(tableEntries * SGL_ENTRY_BYTES + iomapEntries * IOMAP_ENTRY_BYTES);
    const table = { addr: base, rkey: 0x3b9, bytes: this.table };
    const ring = { addr: base + 0x100000, rkey: 0x8000_04fb, bytes: this.ring };
    this.areas = [table, ring];
    this.terms = {
      isBigEndian: sizes.isBigEndian,
      knowsIomap: true,
      credits: sizes.credits,
      iomapEntries,
      tableAddr: table.addr,
      tableRkey: table.rkey,
      tableEntries,
      bufferAddr: ring.addr,
      bufferRkey: ring.rkey,
      bufferBytes: sizes.ringBytes / 2,
    };
  }

  meet(peer: RsocketTerms): void {
    const { sendRingBytes, maxMessageBytes, maxPosts } = this.sizes;
    const own = this.terms;
    this.machine = new RsocketMachine({
      own,
      peer,
      table: this.table,
      sendRingBytes,
      maxMessageBytes,
      maxPosts,
    });
  }

  /** Puts as much of `bytes` into the send ring as has room; returns how much that was. */
  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.machine.writable);
    if (count === 0) return 0;
    this.sendRing.set(bytes.subarray(0, count), this.machine.outgoing.tailOffset);
    this.machine.queue(count);
    return count;
  }

  /** Takes up to `most` unread bytes. */
  read(most: number): Uint8Array {
    const { incoming } = this.machine;
    const count = Math.min(most, incoming.frontBytes);
    const bytes = this.ring.slice(incoming.frontOffset, incoming.frontOffset + count);
    if (count > 0) this.machine.consume(count);
    return bytes;
  }

  /** Sends whatever may be sent. */
  post(): void {
    for (;;) {
      const post = this.machine.nextPost();
      if (post === undefined) return;
      const { remoteAddr, rkey, imm } = post;
      this.underway.push({ remoteAddr, rkey, imm, bytes: this.#payload(post) });
    }
  }

  #payload({ kind, offset, bytes, payload }: RsocketPost): Uint8Array {
    return kind === PostKind.DATA ? this.sendRing.subarray(offset, offset + bytes) : payload.slice(0, bytes);
  }

  /** A write of the peer lands here. Returns false where it would be refused. */
  land({ remoteAddr, rkey, bytes }: Message): boolean {
    if (bytes.length === 0) return true;
    const area = this.areas.find(
      (one) =>
        one.rkey === rkey &&
        remoteAddr >= one.addr &&
        remoteAddr + bytes.length <= one.addr + one.bytes.length,
    );
    if (area === undefined) return false;
    area.bytes.set(bytes, remoteAddr - area.addr);
    return true;
  }
}

export class RsocketPair {
  readonly a: RsocketEnd;
  readonly b: RsocketEnd;

  constructor(a: RsocketSizes, b: RsocketSizes = a) {
    this.a = new RsocketEnd(a, 0x7f37_bb15_0000);
    this.b = new RsocketEnd(b, 0x5634_3652_0000);
    this.a.meet(overTheWire(this.b.terms));
    this.b.meet(overTheWire(this.a.terms));
  }

  peerOf(end: RsocketEnd): RsocketEnd {
    return end === this.a ? this.b : this.a;
  }

  /** The oldest message that `end` has sent arrives. */
  deliver(end: RsocketEnd): void {
    const message = end.underway.shift();
    if (message === undefined) return;
    const peer = this.peerOf(end);
    if (!peer.land(message)) throw new Error(`a write to 0x${message.remoteAddr.toString(16)} is refused`);
    end.unacknowledged += 1;
    if (message.imm < 0) return;
    if (immediateKind(message.imm) === ImmediateKind.DATA) peer.arrived += message.bytes.length;
    peer.machine.received(message.imm, message.bytes.length);
  }

  /** The oldest message of `end` that has arrived is acknowledged. */
  acknowledge(end: RsocketEnd): void {
    if (end.unacknowledged === 0) return;
    end.unacknowledged -= 1;
    end.machine.completed();
  }

  /** Everything that can happen by itself. */
  settle(): void {
    const ends = [this.a, this.b];
    do {
      for (const end of ends) {
        end.post();
        while (end.underway.length > 0) this.deliver(end);
        while (end.unacknowledged > 0) this.acknowledge(end);
      }
      for (const end of ends) end.post();
    } while (ends.some((end) => end.underway.length > 0));
  }
}

function overTheWire(terms: RsocketTerms): RsocketTerms {
  const read = readPrivateData(writePrivateData(terms));
  if (typeof read === 'string') throw new Error(`own terms are refused: ${read}`);
  return read;
}

export const USUAL_SIZES: RsocketSizes = {
  ringBytes: 128 * 1024,
  credits: 384,
  tableEntries: 2,
  iomapEntries: 4,
  isBigEndian: false,
  sendRingBytes: 128 * 1024,
  maxMessageBytes: 64 * 1024,
  maxPosts: 64 + MAX_CONTROLS,
};
