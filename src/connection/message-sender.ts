/**
 * Sends messages: cuts them into fragments, copies each with its header into a slot of the send buffer and posts it,
 * as far as slots and the peer's receives allow. A message is done when the peer's device has acknowledged its last
 * fragment, that is, when all of it is in the peer's memory.
 *
 * It outlives links. Until a message is done it is kept; when a link ends, those that are not done wait for the next
 * one and are sent again under the same sequence numbers, but for those that the peer then says it has.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { WrOpcode } from '../verbs/work-request.js';
import { counterDistance, HEADER_BYTES, MessageKind, violation, writeHeader } from './message-header.js';
import { type Sealer, TAG_BYTES } from './sealing.js';
import type { WorkTracker } from './work-tracker.js';

/** Called once, with `undefined` when the peer has the message. */
export type MessageDone = (error: RdmaError | undefined) => void;

interface OutgoingMessage {
  readonly kind: MessageKind;
  readonly tag: number;
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly done: MessageDone;
  sentBytes: number;
}

export interface SenderOptions {
  /** The send buffer: `slots` pieces of `slotBytes`. */
  readonly mr: MemoryRegion;
  readonly slots: number;
  readonly slotBytes: number;
  /** Receives that this side gives its peer. */
  readonly ownSlots: number;
  /** Fragments of the peer that were taken so far, to be told in every header. */
  readonly taken: () => number;
}

/** What a link brings: its work, and the peer's receives. */
export interface SenderLink {
  readonly tracker: WorkTracker;
  readonly peerSlots: number;
  /** How many of them are free as the link begins. */
  readonly peerFreeSlots: number;
  readonly peerSlotBytes: number;
  /** Messages that the peer has received whole, over all links, modulo 2^32. */
  readonly peerReceived: number;
  /** Seals fragments; `null` on connections that are not encrypted. */
  readonly sealer: Sealer | null;
}

export class MessageSender {
  readonly #options: SenderOptions;
  /** Messages of which not all was posted on this link. */
  readonly #queue: OutgoingMessage[] = [];
  /** Messages of which all was posted, and that are not done. */
  readonly #posted: OutgoingMessage[] = [];
  #freeSlots: number[] = [];
  #link: SenderLink | null = null;
  #fragmentBytes = 0;
  #nextSequence = 0;
  #sentFragments = 0;
  #takenByPeer = 0;
  #advertisedTaken = 0;
  #failure: RdmaError | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Messages that are not done. */
  get pending(): number {
    return this.#queue.length + this.#posted.length;
  }

  /**
   * A link is up: sending begins, with what the peer does not have.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent, or when its receives
   * are too small for any message.
   */
  attach(link: SenderLink): void {
    const oldest = this.#queue[0]?.sequence ?? this.#nextSequence;
    const received = counterDistance(oldest, link.peerReceived);
    if (received > this.#queue.length)
      throw violation('it claims to have received messages that were never sent');
    const overheadBytes = HEADER_BYTES + (link.sealer === null ? 0 : TAG_BYTES);
    if (link.peerSlotBytes <= overheadBytes)
      throw violation(`its receives of ${link.peerSlotBytes} bytes have no room for a message`);
    for (const message of this.#queue.splice(0, received)) message.done(undefined);
    this.#freeSlots = Array.from({ length: this.#options.slots }, (_, slot) => slot);
    this.#fragmentBytes = Math.min(link.peerSlotBytes, this.#options.slotBytes) - overheadBytes;
    // Receives that the peer holds back count as filled, until it says that they are not.
    this.#sentFragments = link.peerSlots - link.peerFreeSlots;
    this.#takenByPeer = 0;
    this.#advertisedTaken = 0;
    this.#link = link;
    this.pump();
    // What this side has given since it told the peer of its receives.
    this.advertise();
  }

  /** The link is over: what is not done waits for the next one. */
  detach(): void {
    this.#link = null;
    this.#queue.unshift(...this.#posted.splice(0));
    for (const message of this.#queue) message.sentBytes = 0;
  }

  /** Queues a message. `data` must not change until `done` is called. */
  send(kind: MessageKind, tag: number, data: Uint8Array, done: MessageDone): void {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => done(failure));
      return;
    }
    this.#queue.push({ kind, tag, data, sequence: this.#nextSequence, done, sentBytes: 0 });
    this.#nextSequence = (this.#nextSequence + 1) >>> 0;
    this.pump();
  }

  /** As `send`, with a promise. */
  sendWhole(kind: MessageKind, tag: number, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(kind, tag, data, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /**
   * A header of the peer told how many fragments it has taken.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when that is more than were sent.
   */
  onPeerTaken(taken: number): void {
    if (this.#link === null) return;
    if (counterDistance(this.#takenByPeer, taken) > counterDistance(this.#takenByPeer, this.#sentFragments)) {
      throw violation('it claims to have taken more than was sent');
    }
    this.#takenByPeer = taken;
    this.pump();
  }

  /** Tells the peer of free receives when nothing else would, before it runs out of them. */
  advertise(): void {
    const { ownSlots, taken } = this.#options;
    if (this.#link === null || counterDistance(this.#advertisedTaken, taken()) * 2 < ownSlots) return;
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return;
    this.#post(this.#link, slot, MessageKind.CREDIT, 0, 0, new Uint8Array(0), 0, 0, undefined);
  }

  /** Sends what can be sent now. */
  pump(): void {
    const link = this.#link;
    if (link === null) return;
    for (let message = this.#queue[0]; message !== undefined; message = this.#queue[0]) {
      if (counterDistance(this.#takenByPeer, this.#sentFragments) >= link.peerSlots) return;
      const slot = this.#freeSlots.pop();
      if (slot === undefined) return;
      const { kind, tag, data, sequence, sentBytes } = message;
      const length = Math.min(this.#fragmentBytes, data.length - sentBytes);
      message.sentBytes += length;
      const isLast = message.sentBytes === data.length;
      if (isLast) {
        this.#queue.shift();
        this.#posted.push(message);
      }
      this.#sentFragments = (this.#sentFragments + 1) >>> 0;
      this.#post(link, slot, kind, tag, sequence, data, sentBytes, length, isLast ? message : undefined);
    }
  }

  /** Ends every message that is not done, and all later ones, with `error`. */
  fail(error: RdmaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.detach();
    for (const message of this.#queue.splice(0)) message.done(error);
  }

  #post(
    link: SenderLink,
    slot: number,
    kind: MessageKind,
    tag: number,
    sequence: number,
    data: Uint8Array,
    offset: number,
    length: number,
    completes: OutgoingMessage | undefined,
  ): void {
    const { mr, slotBytes } = this.#options;
    const at = slot * slotBytes;
    const taken = this.#options.taken();
    this.#advertisedTaken = taken;
    writeHeader(mr.bytes, at, { kind, tag, sequence, taken, totalBytes: data.length, offset });
    const payload = data.subarray(offset, offset + length);
    const { sealer } = link;
    if (sealer === null) mr.bytes.set(payload, at + HEADER_BYTES);
    else sealer.seal(mr.bytes.subarray(at, at + HEADER_BYTES), payload, mr.bytes.subarray(at + HEADER_BYTES));
    const sealBytes = sealer === null ? 0 : TAG_BYTES;
    const sges = [{ mr, offset: at, length: HEADER_BYTES + length + sealBytes }];
    link.tracker.post({ opcode: WrOpcode.SEND, sges }, (error) => {
      if (error !== undefined) return;
      if (completes !== undefined) this.#finish(completes);
      // A link that is over may still tell what it had delivered, but its slots are no longer ours.
      if (link !== this.#link) return;
      this.#freeSlots.push(slot);
      this.pump();
      this.advertise();
    });
  }

  #finish(message: OutgoingMessage): void {
    for (const list of [this.#posted, this.#queue]) {
      const index = list.indexOf(message);
      if (index < 0) continue;
      list.splice(index, 1);
      message.done(undefined);
      return;
    }
  }
}
