/**
 * Receives messages: keeps receives posted, puts fragments together and hands messages out in order. When the program
 * does not take its messages, receives are not given back, so that the sender comes to a halt instead of memory
 * growing.
 *
 * It outlives links. One that begins while too much waits for the program gets no receives but those for CREDIT
 * messages; the peer is told so beforehand, and counts the others as filled, as this side does. So a peer gains nothing
 * by letting its links fail, and one that fills receives which it was not given is refused. A message that was half
 * received when a link ended is forgotten, because its sender will send all of it again; `received` tells the sender
 * from where.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { QpState } from '../verbs/qp-state.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import {
  HEADER_BYTES,
  isSealedMemory,
  type MessageHeader,
  MessageKind,
  readHeader,
  unknownKind,
  violation,
} from './message-header.js';
import { integrityError, type Opener } from './sealing.js';

/** Receives beyond those that the peer may fill with fragments: for its CREDIT messages. */
export const CREDIT_RECEIVES = 2;

/** A message of the peer. */
export interface Message {
  /** What the peer's program gave it: 0 unless it says otherwise. */
  readonly tag: number;
  /** The program's own copy. */
  readonly data: Uint8Array;
}

export interface ReceiverOptions {
  readonly slots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  /** Above it, receives are held back until the program takes messages. */
  readonly highWaterBytes: number;
  /** A header of the peer told how many of our fragments it has taken. */
  readonly onPeerTaken: (taken: number) => void;
  /** Receives were given back: the peer may want to know. */
  readonly onTaken: () => void;
  /** The peer wants to end the connection in order. */
  readonly onQuit: () => void;
  /**
   * A message that belongs to one-sided access on encrypted connections.
   *
   * @throws RdmaError when the peer broke the rules.
   */
  readonly onSealedMemory: (kind: MessageKind, data: Uint8Array) => void;
}

interface Waiter {
  resolve(message: Message | undefined): void;
  reject(error: RdmaError): void;
}

export class MessageReceiver {
  readonly #options: ReceiverOptions;
  #qp: QueuePair | null = null;
  #mr: MemoryRegion | null = null;
  #opener: Opener | null = null;
  readonly #ready: Message[] = [];
  readonly #heldSlots: number[] = [];
  readonly #waiters: Waiter[] = [];
  /** Bytes of the messages that nobody has taken, and a header for each: empty ones must not pile up either. */
  #readyBytes = 0;
  #partial: { header: MessageHeader; data: Uint8Array; receivedBytes: number } | null = null;
  #nextSequence = 0;
  #taken = 0;
  /** Receives that the peer was promised for the link that comes next. */
  #promised: number;
  #ended = false;
  #failure: RdmaError | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#promised = options.slots;
  }

  /** Fragments taken so far, modulo 2^32. */
  get taken(): number {
    return this.#taken;
  }

  /** Messages received whole so far, over all links, modulo 2^32. */
  get received(): number {
    return this.#nextSequence;
  }

  /** How many of the receives for fragments will be free when the next link begins. The peer must be told. */
  promise(): number {
    this.#promised = this.#isFull() ? 0 : this.#options.slots;
    return this.#promised;
  }

  /**
   * A link is coming up: posts the receives that were promised, before the peer may send. `mr` is the receive buffer:
   * `slots + CREDIT_RECEIVES` pieces of `slotBytes`. `opener`: fragments are sealed.
   */
  attach(qp: QueuePair, mr: MemoryRegion, opener: Opener | null): void {
    this.#qp = qp;
    this.#mr = mr;
    this.#opener = opener;
    this.#taken = 0;
    const { slots } = this.#options;
    const held = slots - this.#promised;
    for (let slot = 0; slot < held; slot++) this.#heldSlots.push(slot);
    for (let slot = held; slot < slots + CREDIT_RECEIVES; slot++) this.#repost(slot);
    // The program may have taken messages since the promise.
    this.#giveHeldSlots();
  }

  /** The link is over, and everything that it had received was handed in. */
  detach(): void {
    this.#qp = null;
    this.#partial = null;
    this.#heldSlots.length = 0;
  }

  /**
   * The receive `slot` holds a fragment of `length` bytes.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer broke the rules, ERR_RDMA_INTEGRITY when a third party did.
   */
  onFragment(slot: number, length: number): void {
    const bytes = this.#mr?.bytes;
    if (bytes === undefined) return;
    const at = slot * this.#options.slotBytes;
    const payload = this.#open(bytes.subarray(at, at + length));
    const header = readHeader(bytes, at, HEADER_BYTES + payload.length);
    if (isSealedMemory(header.kind) && this.#opener === null) throw unknownKind(header.kind);
    if (header.kind === MessageKind.CREDIT) this.#repost(slot);
    else this.#takeIn(slot, header, payload);
    this.#options.onPeerTaken(header.taken);
    this.#options.onTaken();
  }

  /** The next message; `undefined` when the peer has quit and nothing is left. */
  next(): Promise<Message | undefined> {
    const message = this.#ready.shift();
    if (message !== undefined) {
      this.#readyBytes -= HEADER_BYTES + message.data.length;
      this.#giveHeldSlots();
      return Promise.resolve(message);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** No message will come any more; those that are here can still be taken. */
  end(): void {
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(undefined);
  }

  /** The connection is lost: whoever waits learns why. Messages that arrived whole can still be taken. */
  fail(error: RdmaError): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  /** What follows the header of a fragment. */
  #open(fragment: Uint8Array): Uint8Array {
    const header = fragment.subarray(0, HEADER_BYTES);
    if (header.length < HEADER_BYTES) {
      throw violation(`a message of ${fragment.length} bytes has no room for its header`);
    }
    const payload = fragment.subarray(HEADER_BYTES);
    if (this.#opener === null) return payload;
    const plain = this.#opener.open(header, payload);
    if (plain === undefined) throw integrityError('a message');
    return plain;
  }

  #takeIn(slot: number, header: MessageHeader, payload: Uint8Array): void {
    if (this.#heldSlots.length === this.#options.slots)
      throw violation('it sent more than there are receives');
    this.#append(header, payload);
    if (this.#isFull()) this.#heldSlots.push(slot);
    else this.#give(slot);
  }

  #isFull(): boolean {
    return this.#readyBytes > this.#options.highWaterBytes;
  }

  #append(header: MessageHeader, fragment: Uint8Array): void {
    if (header.sequence !== this.#nextSequence) throw violation('a message is out of sequence');
    if (header.totalBytes > this.#options.maxMessageBytes) {
      const limit = this.#options.maxMessageBytes;
      throw violation(`it sent a message of ${header.totalBytes} bytes, but ${limit} is the limit`);
    }
    this.#partial ??= { header, data: new Uint8Array(header.totalBytes), receivedBytes: 0 };
    const partial = this.#partial;
    const { kind, tag, totalBytes } = partial.header;
    if (
      header.offset !== partial.receivedBytes ||
      header.kind !== kind ||
      header.tag !== tag ||
      header.totalBytes !== totalBytes
    ) {
      throw violation('the fragments of a message do not fit together');
    }
    if (fragment.length === 0 && totalBytes > 0) throw violation('a fragment is empty');
    partial.data.set(fragment, header.offset);
    partial.receivedBytes += fragment.length;
    if (partial.receivedBytes === totalBytes) this.#finish(kind, tag, partial.data);
  }

  #finish(kind: MessageKind, tag: number, data: Uint8Array): void {
    this.#partial = null;
    this.#nextSequence = (this.#nextSequence + 1) >>> 0;
    if (kind === MessageKind.QUIT) {
      this.#options.onQuit();
      return;
    }
    if (isSealedMemory(kind)) {
      this.#options.onSealedMemory(kind, data);
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ tag, data });
    } else {
      this.#ready.push({ tag, data });
      this.#readyBytes += HEADER_BYTES + data.length;
    }
  }

  #giveHeldSlots(): void {
    if (this.#heldSlots.length === 0 || this.#isFull()) return;
    for (const slot of this.#heldSlots.splice(0)) this.#give(slot);
    this.#options.onTaken();
  }

  #give(slot: number): void {
    this.#taken = (this.#taken + 1) >>> 0;
    this.#repost(slot);
  }

  #repost(slot: number): void {
    const { slotBytes } = this.#options;
    if (this.#qp === null || this.#mr === null || this.#qp.state === QpState.ERR) return;
    const sges = [{ mr: this.#mr, offset: slot * slotBytes, length: slotBytes }];
    this.#qp.postRecv({ wrId: slot, sges });
  }
}
