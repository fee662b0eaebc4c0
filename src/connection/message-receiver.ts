/**
 * Takes fragments out of the receives of a link, in their order, and gives each to what it is for: messages to the inbox,
 * bytes to their stream, limits to the sender. Whoever gets a fragment copies it, within a limit that the peer was told, so
 * that its receive is given back at once: no reader stops another.
 *
 * It outlives links: fragments are numbered over the life of the connection, and the peer is told, before a link begins,
 * which one comes next. A message that was half received goes on there.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import { QpState } from '../verbs/qp-state.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import {
  HEADER_BYTES,
  isSealedMemory,
  MessageFault,
  type MessageHeader,
  MessageKind,
  readHeader,
  unknownKind,
  violation,
} from './message-header.js';
import { MessageAssembler, type MessageInbox } from './message-inbox.js';
import type { ReceiveWindow } from './receive-window.js';
import { integrityError, type Opener } from './sealing.js';
import { serialAdd, serialDistance } from './serial-number.js';
import type { StreamTable } from './stream-table.js';

/** Receives beyond those that the peer may fill with fragments: for its LIMIT messages, the first two of which prove the link. */
export const LIMIT_RECEIVES = 4;
/** Messages about sealed memory of this length are taken whatever the limit for the program's is. */
const SMALL_MESSAGE_BYTES = 64;

export interface ReceiverOptions {
  readonly slots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  readonly inbox: MessageInbox;
  readonly streams: StreamTable;
  /** Every header tells how many fragments of ours the peer takes. */
  readonly onPeerLimit: (limit: number) => void;
  /** The cost of messages of ours that the peer takes. */
  readonly onMessageLimit: (limit: number) => void;
  /** A receive was given back: the peer may want to know. */
  readonly onReceiveGiven: () => void;
  /** The peer wants to end the connection in order. */
  readonly onQuit: () => void;
  /**
   * A message that belongs to one-sided access on encrypted connections.
   *
   * @throws RdmaError when the peer broke the rules.
   */
  readonly onSealedMemory: (kind: MessageKind, data: Uint8Array) => void;
  /** Number of the first fragment; other than 0 in tests only. */
  readonly firstSequence?: number;
}

export class MessageReceiver {
  readonly window: ReceiveWindow;
  readonly #options: ReceiverOptions;
  readonly #sealed = new MessageAssembler();
  #qp: QueuePair | null = null;
  #mr: MemoryRegion | null = null;
  #opener: Opener | null = null;
  #nextSequence: number;
  #hasQuit = false;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#nextSequence = options.firstSequence ?? 0;
    const limit = serialAdd(this.#nextSequence, options.slots);
    this.window = { limit, told: limit };
  }

  /** Number of the fragment that comes next, which is how many came, modulo 2^32. The peer must be told. */
  get received(): number {
    return this.#nextSequence;
  }

  /**
   * A link is coming up: posts all receives, before the peer may send. `mr` is the receive buffer:
   * `slots + LIMIT_RECEIVES` pieces of `slotBytes`. `opener`: fragments are sealed.
   */
  attach(qp: QueuePair, mr: MemoryRegion, opener: Opener | null): void {
    this.#qp = qp;
    this.#mr = mr;
    this.#opener = opener;
    const { slots } = this.#options;
    this.window.limit = serialAdd(this.#nextSequence, slots);
    // The peer knows how many receives there are, and from where on they count.
    this.window.told = this.window.limit;
    for (let slot = 0; slot < slots + LIMIT_RECEIVES; slot++) this.#repost(slot);
  }

  /** The link is over, and everything that it had received was handed in. */
  detach(): void {
    this.#qp = null;
  }

  /**
   * The receive `slot` holds a fragment of `length` bytes. Returns whether it was a limit and nothing else.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer broke the rules, ERR_RDMA_INTEGRITY when a third party did.
   */
  onFragment(slot: number, length: number): boolean {
    const bytes = this.#mr?.bytes;
    if (bytes === undefined) return true;
    const at = slot * this.#options.slotBytes;
    const payload = this.#open(bytes.subarray(at, at + length));
    const header = readHeader(bytes, at, payload.length);
    if (header.sequence !== this.#nextSequence)
      throw violation(MessageFault.OUT_OF_SEQUENCE, 'a fragment is out of sequence');
    const isLimit = header.kind === MessageKind.LIMIT;
    if (!isLimit) this.#takeIn(header, payload);
    this.#repost(slot);
    this.#options.onPeerLimit(header.limit);
    this.#options.onReceiveGiven();
    return isLimit;
  }

  /** Where the program takes its messages from. */
  get inbox(): MessageInbox {
    return this.#options.inbox;
  }

  /** No message will come any more; those that are here can still be taken. */
  end(): void {
    this.#options.inbox.end();
  }

  /** The connection is lost: whoever waits learns why. */
  fail(error: RdmaError): void {
    this.#options.inbox.fail(error);
  }

  /** What follows the header of a fragment. */
  #open(fragment: Uint8Array): Uint8Array {
    if (fragment.length < HEADER_BYTES) {
      const sentence = `a message of ${fragment.length} bytes has no room for its header`;
      throw violation(MessageFault.TOO_SHORT, sentence);
    }
    const payload = fragment.subarray(HEADER_BYTES);
    if (this.#opener === null) return payload;
    const plain = this.#opener.open(fragment.subarray(0, HEADER_BYTES), payload);
    if (plain === undefined) throw integrityError('a message');
    return plain;
  }

  #takeIn(header: MessageHeader, payload: Uint8Array): void {
    const { window } = this;
    if (serialDistance(this.#nextSequence, window.told) === 0)
      throw violation(MessageFault.BEYOND_LIMIT, 'it sent more than there are receives');
    this.#dispatch(header, payload);
    this.#nextSequence = serialAdd(this.#nextSequence, 1);
    window.limit = serialAdd(window.limit, 1);
  }

  #dispatch(header: MessageHeader, payload: Uint8Array): void {
    const { inbox, streams } = this.#options;
    const { kind } = header;
    if (isSealedMemory(kind)) {
      this.#takeSealed(header, payload);
      return;
    }
    if (
      this.#hasQuit &&
      (kind === MessageKind.DATA || kind === MessageKind.STREAM || kind === MessageKind.QUIT)
    )
      throw violation(MessageFault.AFTER_END, 'it sent something after it had quit');
    switch (kind) {
      case MessageKind.DATA:
        inbox.append(header, payload);
        break;
      case MessageKind.STREAM:
        streams.onBytes(header, payload, this.#opener !== null);
        break;
      case MessageKind.RESET:
        streams.onReset(header);
        break;
      case MessageKind.STREAM_LIMIT:
        if (header.stream === 0) this.#options.onMessageLimit(header.value);
        else streams.onLimit(header);
        break;
      case MessageKind.OPEN_LIMIT:
        streams.onOpenLimit(header);
        break;
      case MessageKind.QUIT:
        this.#hasQuit = true;
        this.#options.onQuit();
        break;
    }
  }

  #takeSealed(header: MessageHeader, payload: Uint8Array): void {
    if (this.#opener === null) throw unknownKind(header.kind);
    const maxBytes = Math.max(SMALL_MESSAGE_BYTES, this.#options.maxMessageBytes);
    const data = this.#sealed.append(header, payload, maxBytes);
    if (data !== undefined) this.#options.onSealedMemory(header.kind, data);
  }

  #repost(slot: number): void {
    const { slotBytes } = this.#options;
    if (this.#qp === null || this.#mr === null || this.#qp.state === QpState.ERR) return;
    const sges = [{ mr: this.#mr, offset: slot * slotBytes, length: slotBytes }];
    this.#qp.postRecv({ wrId: slot, sges });
  }
}
