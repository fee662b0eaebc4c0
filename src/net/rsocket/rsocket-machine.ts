/**
 * One end of an rsocket without I/O and without clocks: what the peer's messages mean, what may be posted and when, and how
 * it ends (docs/rsocket.md). The owner feeds it completions and what the program wants, and asks for posts:
 *
 *     machine.received(imm, bytes)     a write with immediate data has arrived
 *     machine.completed()              the oldest post is acknowledged
 *     machine.queue(bytes)             the program has put bytes into the send ring
 *     machine.consume(bytes)           the program has taken bytes from the receive ring
 *     machine.endWriting(), discard()  no more data; no more interest; close() = both
 *     machine.nextPost()               to be posted now, until there is none
 *
 * Nothing is allocated for a message.
 *
 * Invariants: at most four control messages are unacknowledged, and no more posts than the send queue holds; the end of
 * data leaves behind all data, and nothing behind DISCONNECT; after a fault of the peer nothing is posted and nothing read.
 */
import { invariant } from '../../verbs/invariant.js';
import { IncomingBytes } from './incoming-bytes.js';
import { Iomaps } from './iomaps.js';
import { OutgoingBytes } from './outgoing-bytes.js';
import { RsocketFault } from './rsocket-fault.js';
import { PostKind, RsocketPost } from './rsocket-post.js';
import {
  ImmediateKind,
  immediateKind,
  immediateShort,
  immediateValue,
  RsocketControl,
  writeImmediate,
} from './wire/immediate.js';
import { IOMAP_ENTRY_BYTES, type IomapEntry, readIomapEntry, writeIomapEntry } from './wire/iomap-entry.js';
import type { RsocketTerms } from './wire/private-data.js';
import { readSglEntry, SGL_ENTRY_BYTES, type SglEntry, writeSglEntry } from './wire/sgl-entry.js';

/** As many as any peer keeps of its own. */
export const MAX_CONTROLS = 4;

export interface RsocketMachineOptions {
  /** What the peer was told. `bufferBytes` is half of the receive ring, which begins at `bufferAddr`. */
  readonly own: RsocketTerms;
  readonly peer: RsocketTerms;
  /** Memory of own tables, which the peer writes: that of the receive buffers, and that of iomap behind it. */
  readonly table: Uint8Array;
  readonly sendRingBytes: number;
  readonly maxMessageBytes: number;
  /** Entries of the send queue. */
  readonly maxPosts: number;
}

/** What the peer has said about its end. */
const PeerEnd = { OPEN: 0, SHUTDOWN: 1, DISCONNECT: 2 } as const;
type PeerEnd = (typeof PeerEnd)[keyof typeof PeerEnd];

export class RsocketMachine {
  readonly incoming: IncomingBytes;
  readonly outgoing: OutgoingBytes;
  readonly iomaps: Iomaps;
  readonly #own: RsocketTerms;
  readonly #peer: RsocketTerms;
  readonly #table: DataView;
  /** Kinds and lengths of posts that are not completed, in order. */
  readonly #kinds: Uint8Array;
  readonly #lengths: Uint32Array;
  #oldest = 0;
  #posts = 0;
  #controls = 0;
  readonly #post = new RsocketPost();
  readonly #entry: SglEntry = { addr: 0, rkey: 0, bytes: 0 };
  #announcementsTaken = 0;
  #peerEnd: PeerEnd = PeerEnd.OPEN;
  #fault: RsocketFault | undefined;
  #wantsEnd = false;
  #isClosing = false;
  #isKeepaliveDue = false;
  #saidShutdown = false;
  #saidDisconnect = false;

  constructor(options: RsocketMachineOptions) {
    const { own, peer, table, sendRingBytes, maxMessageBytes, maxPosts } = options;
    this.#own = own;
    this.#peer = peer;
    this.#table = new DataView(table.buffer, table.byteOffset, table.byteLength);
    this.#kinds = new Uint8Array(maxPosts);
    this.#lengths = new Uint32Array(maxPosts);
    this.incoming = new IncomingBytes(own.bufferBytes * 2, own.credits);
    const first = { addr: peer.bufferAddr, rkey: peer.bufferRkey, bytes: peer.bufferBytes };
    this.outgoing = new OutgoingBytes(sendRingBytes, maxMessageBytes, first, peer.credits);
    this.iomaps = new Iomaps(own.iomapEntries, peer.knowsIomap ? peer.iomapEntries : 0);
  }

  // The peer.

  /** A write with immediate data has arrived, of so many bytes. Where the peer may not send it, `fault` says why. */
  received(imm: number, bytes: number): void {
    if (this.#fault !== undefined) return;
    this.#fault = this.#take(imm, bytes);
    if (this.#isClosing && this.#fault === undefined) this.#discard();
  }

  /** Something else has arrived, which no peer of the protocol sends. */
  receivedOther(): void {
    this.#fault ??= RsocketFault.NOT_A_WRITE;
  }

  /** The oldest post is acknowledged; returns what it was. */
  completed(): PostKind {
    INVARIANT: invariant(this.#posts > 0, 'only what was posted completes');
    const kind = this.#kinds[this.#oldest] as PostKind;
    if (kind === PostKind.CONTROL) this.#controls -= 1;
    else if (kind === PostKind.DATA) this.outgoing.acknowledge(this.#lengths[this.#oldest] as number);
    this.#oldest = (this.#oldest + 1) % this.#kinds.length;
    this.#posts -= 1;
    return kind;
  }

  /** What the peer has done wrong; then the connection is to be ended. */
  get fault(): RsocketFault | undefined {
    return this.#fault;
  }

  /** No more bytes will arrive than those that are unread. */
  get isPeerDone(): boolean {
    return this.#peerEnd !== PeerEnd.OPEN;
  }

  /** The peer takes nothing any more. */
  get isPeerGone(): boolean {
    return this.#peerEnd === PeerEnd.DISCONNECT || (this.#saidShutdown && this.isPeerDone);
  }

  /** It alone has said DISCONNECT, and ends the connection once that is acknowledged. */
  get isPeerLeaving(): boolean {
    return this.#peerEnd === PeerEnd.DISCONNECT && !this.#saidDisconnect;
  }

  // The program.

  /** Bytes that the program may put into the send ring, at `outgoing.tailOffset`. */
  get writable(): number {
    return this.isWritingOver ? 0 : this.outgoing.tailBytes;
  }

  get isWritingOver(): boolean {
    return this.#wantsEnd || this.#peerEnd === PeerEnd.DISCONNECT || this.#fault !== undefined;
  }

  queue(bytes: number): void {
    INVARIANT: invariant(bytes <= this.writable, 'what is queued may be written');
    this.outgoing.queue(bytes);
  }

  consume(bytes: number): void {
    this.incoming.consume(bytes);
  }

  /** No more data after what is queued. */
  endWriting(): void {
    this.#wantsEnd = true;
  }

  /** What arrives is of no interest any more: the end will be that of both directions. */
  discard(): void {
    this.#isClosing = true;
    if (this.#fault === undefined) this.#discard();
  }

  /** `endWriting` and `discard`. */
  close(): void {
    this.endWriting();
    this.discard();
  }

  /** Asks for a write of nothing, which only the peer's device hears of. */
  keepAlive(): void {
    this.#isKeepaliveDue = true;
  }

  /** A place for a write into the peer's iomap, which the program posts itself. Returns false where there is none now. */
  takeIomapWrite(): boolean {
    if (!this.#mayPost || this.#fault !== undefined || this.isPeerGone || this.#saidDisconnect) return false;
    this.#note(PostKind.IOMAP_WRITE, 0);
    return true;
  }

  /** The peer has all that was queued, and is told that no more comes. */
  get isWritingDone(): boolean {
    return (this.#saidShutdown || this.#saidDisconnect) && this.outgoing.unacknowledged === 0;
  }

  /** The peer's device has all that was queued, and nothing is to follow. */
  get isAllTaken(): boolean {
    return this.isWritingDone || (this.isPeerGone && this.outgoing.unacknowledged === 0);
  }

  /**
   * Nothing is missing if the queue pair ends now. What a peer has not said is missing: it may be on its way, as the queue pair
   * of a program that leaves repeats nothing that was lost (docs/rsocket.md).
   */
  get isWhole(): boolean {
    return this.isPeerDone && this.isAllTaken;
  }

  /** Neither end has anything to say any more, and all of it is acknowledged. */
  get isOver(): boolean {
    return this.#posts === 0 && (this.#saidDisconnect || this.isPeerGone);
  }

  // Posts.

  /** What is to be posted now; the same object is filled anew each time. Undefined: nothing until something happens. */
  nextPost(): RsocketPost | undefined {
    if (this.#fault !== undefined || this.#saidDisconnect || this.isPeerGone) return undefined;
    if (this.#mayControl) {
      if (!this.isPeerDone && this.incoming.isHalfFree) return this.#announce();
      if (!this.isPeerDone && this.incoming.areCreditsDue) return this.#tellCredits();
      if (this.#isKeepaliveDue) return this.#keepAlive();
    }
    if (this.#mayPost) {
      if (this.#mayTellIomap) return this.#tellIomap();
      const bytes = this.outgoing.nextBytes;
      if (bytes > 0) return this.#sendData(bytes);
    }
    return this.#wantsEnd && this.outgoing.waiting === 0 && this.#mayControl ? this.#sayEnd() : undefined;
  }

  get unacknowledgedPosts(): number {
    return this.#posts;
  }

  /** Controls have places of their own in the send queue. */
  get #mayPost(): boolean {
    return this.#posts - this.#controls < this.#kinds.length - MAX_CONTROLS;
  }

  /** Behind the end of data the peer takes none. */
  get #mayTellIomap(): boolean {
    return this.iomaps.hasNews && this.outgoing.hasCredit && !this.#saidShutdown;
  }

  get #mayControl(): boolean {
    return this.#controls < MAX_CONTROLS;
  }

  #take(imm: number, bytes: number): RsocketFault | undefined {
    switch (immediateKind(imm)) {
      case ImmediateKind.DATA:
        if (immediateValue(imm) !== bytes) return RsocketFault.LENGTH_DIFFERS;
        return this.isPeerDone ? RsocketFault.DATA_AFTER_END : this.incoming.take(bytes);
      case ImmediateKind.SGL:
        return this.#takeAnnouncement(immediateShort(imm), bytes);
      case ImmediateKind.IOMAP:
        return this.#takeIomap(immediateShort(imm), bytes);
      case ImmediateKind.CONTROL:
        return this.#takeControl(immediateValue(imm));
      default:
        return RsocketFault.RESERVED_KIND;
    }
  }

  #takeAnnouncement(limit: number, bytes: number): RsocketFault | undefined {
    if (bytes !== 0 && bytes !== SGL_ENTRY_BYTES) return RsocketFault.BAD_ANNOUNCEMENT;
    this.outgoing.limit = limit;
    if (bytes === 0) return undefined;
    this.#announcementsTaken += 1;
    const at = (this.#announcementsTaken % this.#own.tableEntries) * SGL_ENTRY_BYTES;
    readSglEntry(this.#table, at, this.#own.isBigEndian, this.#entry);
    return this.outgoing.announced(this.#entry);
  }

  #takeIomap(index: number, bytes: number): RsocketFault | undefined {
    if (bytes !== IOMAP_ENTRY_BYTES || index >= this.iomaps.ownEntries) return RsocketFault.IOMAP_INDEX;
    if (this.isPeerDone) return RsocketFault.DATA_AFTER_END;
    const at = this.#own.tableEntries * SGL_ENTRY_BYTES + index * IOMAP_ENTRY_BYTES;
    const entry = readIomapEntry(this.#table, at, this.#own.isBigEndian);
    return this.incoming.takeEmpty() ?? this.iomaps.learn(index, entry);
  }

  #takeControl(value: number): RsocketFault | undefined {
    switch (value) {
      case RsocketControl.DISCONNECT:
        this.#peerEnd = PeerEnd.DISCONNECT;
        return undefined;
      case RsocketControl.SHUTDOWN:
        if (this.#peerEnd === PeerEnd.OPEN) this.#peerEnd = PeerEnd.SHUTDOWN;
        return undefined;
      case RsocketControl.KEEPALIVE:
        return undefined;
      default:
        return RsocketFault.UNKNOWN_CONTROL;
    }
  }

  #discard(): void {
    this.incoming.consume(this.incoming.unread);
  }

  #announce(): RsocketPost {
    const { incoming } = this;
    this.#entry.addr = this.#own.bufferAddr + incoming.halfOffset;
    this.#entry.rkey = this.#own.bufferRkey;
    this.#entry.bytes = incoming.halfBytes;
    incoming.announce();
    const index = incoming.announcements % this.#peer.tableEntries;
    const post = this.#fill(PostKind.CONTROL, SGL_ENTRY_BYTES);
    post.remoteAddr = this.#peer.tableAddr + index * SGL_ENTRY_BYTES;
    post.rkey = this.#peer.tableRkey;
    post.imm = writeImmediate(ImmediateKind.SGL, incoming.tellLimit());
    writeSglEntry(post.view, 0, this.#peer.isBigEndian, this.#entry);
    return post;
  }

  #tellCredits(): RsocketPost {
    const post = this.#fill(PostKind.CONTROL, 0);
    post.imm = writeImmediate(ImmediateKind.SGL, this.incoming.tellLimit());
    return post;
  }

  #keepAlive(): RsocketPost {
    this.#isKeepaliveDue = false;
    return this.#fill(PostKind.CONTROL, 0);
  }

  #tellIomap(): RsocketPost {
    const { index, entry } = this.iomaps.takeNews() as { index: number; entry: IomapEntry };
    this.outgoing.takeCredit();
    const post = this.#fill(PostKind.IOMAP_ENTRY, IOMAP_ENTRY_BYTES);
    const { tableAddr, tableEntries, tableRkey, isBigEndian } = this.#peer;
    post.remoteAddr = tableAddr + tableEntries * SGL_ENTRY_BYTES + index * IOMAP_ENTRY_BYTES;
    post.rkey = tableRkey;
    post.imm = writeImmediate(ImmediateKind.IOMAP, index);
    writeIomapEntry(post.view, 0, isBigEndian, entry);
    return post;
  }

  #sendData(bytes: number): RsocketPost {
    const { outgoing } = this;
    const post = this.#fill(PostKind.DATA, bytes);
    post.remoteAddr = outgoing.addr;
    post.rkey = outgoing.rkey;
    post.offset = outgoing.frontOffset;
    post.imm = writeImmediate(ImmediateKind.DATA, bytes);
    outgoing.post(bytes);
    return post;
  }

  /** Half of the end where the peer may go on, and the whole where it has ended as well or nobody would listen to it. */
  #sayEnd(): RsocketPost | undefined {
    const isWhole = this.#isClosing || this.isPeerDone;
    if (this.#saidShutdown && !isWhole) return undefined;
    if (isWhole) this.#saidDisconnect = true;
    else this.#saidShutdown = true;
    const post = this.#fill(PostKind.CONTROL, 0);
    const control = isWhole ? RsocketControl.DISCONNECT : RsocketControl.SHUTDOWN;
    post.imm = writeImmediate(ImmediateKind.CONTROL, control);
    return post;
  }

  /** Zeros for whatever a message does not need: other implementations send what their memory holds. */
  #fill(kind: PostKind, bytes: number): RsocketPost {
    this.#note(kind, bytes);
    const post = this.#post;
    post.kind = kind;
    post.bytes = bytes;
    post.remoteAddr = 0;
    post.rkey = 0;
    post.imm = -1;
    post.offset = 0;
    return post;
  }

  #note(kind: PostKind, bytes: number): void {
    const at = (this.#oldest + this.#posts) % this.#kinds.length;
    this.#kinds[at] = kind;
    this.#lengths[at] = bytes;
    this.#posts += 1;
    if (kind === PostKind.CONTROL) this.#controls += 1;
    INVARIANT: invariant(this.#posts <= this.#kinds.length, 'posts fit into the send queue');
    INVARIANT: invariant(this.#controls <= MAX_CONTROLS, 'four control messages at most are unacknowledged');
  }
}
