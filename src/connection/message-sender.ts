/**
 * Sends messages: cuts them into fragments, copies each with its header into a slot of the send buffer and posts it,
 * as far as slots and the peer's receives allow. A message is done when the peer's device has acknowledged its last
 * fragment, that is, when all of it is in the peer's memory.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { WrOpcode } from '../verbs/work-request.js';
import { counterDistance, HEADER_BYTES, MessageType, violation, writeHeader } from './message-header.js';
import type { WorkTracker } from './work-tracker.js';

/** Called once, with `undefined` when the peer has the message. */
export type MessageDone = (error: RdmaError | undefined) => void;

interface OutgoingMessage {
  readonly type: MessageType;
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
  readonly tracker: WorkTracker;
  /** Fragments of the peer that were taken so far, to be told in every header. */
  readonly taken: () => number;
}

export class MessageSender {
  readonly #options: SenderOptions;
  readonly #queue: OutgoingMessage[] = [];
  readonly #freeSlots: number[];
  /** Receives of the peer for fragments, and the bytes that fit into one. */
  #peerSlots = 0;
  #fragmentBytes = 0;
  #nextSequence = 0;
  #sentFragments = 0;
  #takenByPeer = 0;
  #advertisedTaken = 0;
  #failure: RdmaError | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#freeSlots = Array.from({ length: options.slots }, (_, slot) => slot);
  }

  /** The peer's receives are known: sending may begin. */
  start(peerSlots: number, peerSlotBytes: number): void {
    this.#peerSlots = peerSlots;
    this.#fragmentBytes = Math.min(peerSlotBytes, this.#options.slotBytes) - HEADER_BYTES;
  }

  /** Bytes that wait for their turn. */
  get queuedBytes(): number {
    return this.#queue.reduce((sum, message) => sum + message.data.length - message.sentBytes, 0);
  }

  /** Queues a message. `data` must not change until `done` is called. */
  send(type: MessageType, data: Uint8Array, done: MessageDone): void {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => done(failure));
      return;
    }
    this.#queue.push({ type, data, sequence: this.#nextSequence, done, sentBytes: 0 });
    this.#nextSequence = (this.#nextSequence + 1) >>> 0;
    this.pump();
  }

  /**
   * A header of the peer told how many fragments it has taken.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when that is more than were sent.
   */
  onPeerTaken(taken: number): void {
    if (counterDistance(this.#takenByPeer, taken) > counterDistance(this.#takenByPeer, this.#sentFragments)) {
      throw violation('it claims to have taken more than was sent');
    }
    this.#takenByPeer = taken;
    this.pump();
  }

  /** Tells the peer of free receives when nothing else would, before it runs out of them. */
  advertise(): void {
    const { ownSlots, taken } = this.#options;
    if (this.#failure !== undefined || counterDistance(this.#advertisedTaken, taken()) * 2 < ownSlots) return;
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return;
    this.#post(slot, MessageType.CREDIT, 0, new Uint8Array(0), 0, 0, undefined);
  }

  /** Sends what can be sent now. */
  pump(): void {
    for (let message = this.#queue[0]; message !== undefined; message = this.#queue[0]) {
      if (counterDistance(this.#takenByPeer, this.#sentFragments) >= this.#peerSlots) return;
      const slot = this.#freeSlots.pop();
      if (slot === undefined) return;
      const { type, data, sequence, sentBytes } = message;
      const length = Math.min(this.#fragmentBytes, data.length - sentBytes);
      message.sentBytes += length;
      const isLast = message.sentBytes === data.length;
      if (isLast) this.#queue.shift();
      this.#sentFragments = (this.#sentFragments + 1) >>> 0;
      this.#post(slot, type, sequence, data, sentBytes, length, isLast ? message.done : undefined);
    }
  }

  /** Ends every message that was not sent whole, and all later ones, with `error`. */
  fail(error: RdmaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const message of this.#queue.splice(0)) message.done(error);
  }

  #post(
    slot: number,
    type: MessageType,
    sequence: number,
    data: Uint8Array,
    offset: number,
    length: number,
    done: MessageDone | undefined,
  ): void {
    const { mr, slotBytes, tracker } = this.#options;
    const at = slot * slotBytes;
    const taken = this.#options.taken();
    this.#advertisedTaken = taken;
    writeHeader(mr.bytes, at, { type, sequence, taken, totalBytes: data.length, offset });
    mr.bytes.set(data.subarray(offset, offset + length), at + HEADER_BYTES);
    const sges = [{ mr, offset: at, length: HEADER_BYTES + length }];
    tracker.post({ opcode: WrOpcode.SEND, sges }, (error) => {
      this.#freeSlots.push(slot);
      done?.(error);
      if (error !== undefined) return;
      this.pump();
      this.advertise();
    });
  }
}
