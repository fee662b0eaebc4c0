/**
 * Takes fragments out of the receives of a link, in their order, and gives each to what it is for: messages to the inbox,
 * bytes to their stream, limits to the sender. Whoever gets a fragment copies it, within a limit that the peer was told, so
 * that its receive is given back at once: no reader stops another.
 *
 * It outlives links: fragments are numbered over the life of the connection, and the peer is told, before a link begins,
 * which one comes next. A message that was half received goes on there.
 */
import { asOwnFault, type RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { mayAdvance, serialAdd, serialDifference, serialDistance } from '../common/serial-number.js';
import {
  HEADER_BYTES,
  isSealedMemory,
  isUnnumbered,
  MessageFault,
  type MessageHeader,
  MessageKind,
  readHeader,
  unknownKind,
  violation,
} from '../fragments/message-header.js';
import type { ReceiveWindow } from '../fragments/receive-window.js';
import { Receives } from '../fragments/receives.js';
import { integrityError, type Opener } from '../fragments/sealing.js';
import type { Held, RateGate } from '../rates/rate-gate.js';
import type { StreamTable } from '../streams/stream-table.js';
import { MessageAssembler, type MessageInbox } from './message-inbox.js';

/** Messages about sealed memory of this length are taken whatever the limit for the program's is. */
const SMALL_MESSAGE_BYTES = 64;
/** For all, as views are costly to make. */
const NOTHING = new Uint8Array(0);

export interface ReceiverOptions {
  /** Receives for fragments at first, and at most: as many as at first, if it is left out. */
  readonly slots: number;
  readonly mostSlots?: number;
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
  /** The peer wants a limit, as a sign of life. */
  readonly onAsk: () => void;
  /** The peer has the acknowledgement of its QUIT. */
  readonly onBye: () => void;
  /** The peer ends the connection without all that it had to say; `code`: why. */
  readonly onClose: (code: number) => void;
  /**
   * A message that belongs to one-sided access on encrypted connections.
   *
   * @throws RdmaError when the peer broke the rules.
   */
  readonly onSealedMemory: (kind: MessageKind, data: Uint8Array) => void;
  /** Memory for more receives, or an error where there is none; and memory of it that is no longer needed. */
  readonly allocate?: (bytes: number) => Promise<MemoryRegion>;
  readonly release?: (mr: MemoryRegion) => void;
  /** The device has refused a receive of that memory, which the peer must not be told of: the link cannot go on. */
  readonly onRefused: (error: RdmaError) => void;
  /** Bounds what the peer may send: while it is shut, no limit moves on. */
  readonly gate?: RateGate | null;
  /** Number of the first fragment; other than 0 in tests only. */
  readonly firstSequence?: number;
}

export class MessageReceiver implements Held {
  readonly window: ReceiveWindow;
  readonly #options: ReceiverOptions;
  /** Of encrypted connections. */
  #sealed: MessageAssembler | null = null;
  readonly #receives: Receives;
  #link = 0;
  #isGrowing = false;
  #mostSlots: number;
  #opener: Opener | null = null;
  #nextSequence: number;
  /** The peer has nothing but this link to say goodbye by. */
  #isBrief = false;
  #hasQuit = false;
  #hasSaidBye = false;
  #hasClosed = false;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#nextSequence = options.firstSequence ?? 0;
    const { slots } = options;
    const limit = serialAdd(this.#nextSequence, slots);
    this.window = { slots, limit, told: limit, known: limit };
    this.#mostSlots = options.mostSlots ?? slots;
    this.#receives = new Receives(options.slotBytes, options);
  }

  /** Number of the fragment that comes next, which is how many came, modulo 2^32. The peer must be told. */
  get received(): number {
    return this.#nextSequence;
  }

  /**
   * A link is coming up: posts all receives, before the peer may send. `mr` has from `at` on the receives:
   * `slots + LIMIT_RECEIVES` pieces of `slotBytes`. `opener`: fragments are sealed. `isBrief`: both ends will do without the session.
   */
  attach(qp: QueuePair, mr: MemoryRegion, at: number, opener: Opener | null, isBrief = false): void {
    this.#link++;
    this.#isBrief = isBrief;
    this.#opener = opener;
    const { window } = this;
    const { slots, mostSlots = slots } = this.#options;
    window.slots = slots;
    window.limit = serialAdd(this.#nextSequence, slots);
    // The peer knows how many receives there are, and from where on they count.
    window.told = window.limit;
    window.known = window.limit;
    this.#mostSlots = mostSlots;
    this.#receives.attach(qp, mr, at);
  }

  /** The link is over, and everything that it had received was handed in. */
  detach(): void {
    this.#link++;
    this.#options.gate?.forget(this);
    this.#receives.detach();
  }

  /**
   * The receive `wrId` holds a fragment of `length` bytes. Returns whether it was a limit and nothing else.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer broke the rules, ERR_RDMA_INTEGRITY when a third party did.
   */
  onFragment(wrId: number, length: number): boolean {
    const bytes = this.#receives.bytesOf(wrId, length);
    if (bytes === undefined) return true;
    const payload = this.#open(bytes);
    const header = readHeader(bytes, 0, payload.length);
    if (header.sequence !== this.#nextSequence)
      throw violation(MessageFault.OUT_OF_SEQUENCE, 'a fragment is out of sequence');
    const { kind } = header;
    const isLimit = isUnnumbered(kind);
    if (this.#hasClosed) throw violation(MessageFault.AFTER_END, 'it sent something after it had closed');
    if (!isLimit) this.#takeIn(header, payload, length);
    else if (kind === MessageKind.BYE) this.#takeBye();
    else if (kind === MessageKind.CLOSE) this.#takeClose();
    this.#receives.giveBack(wrId);
    this.#options.onPeerLimit(header.limit);
    this.#options.onReceiveGiven();
    if (kind === MessageKind.ASK) this.#options.onAsk();
    if (kind === MessageKind.BYE) this.#options.onBye();
    if (kind === MessageKind.CLOSE) this.#options.onClose(header.value);
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
    const payload = fragment.length === HEADER_BYTES ? NOTHING : fragment.subarray(HEADER_BYTES);
    if (this.#opener === null) return payload;
    const plain = this.#opener.open(fragment.subarray(0, HEADER_BYTES), payload);
    if (plain === undefined) throw integrityError('a message');
    return plain;
  }

  #takeBye(): void {
    if (!this.#hasQuit) throw violation(MessageFault.OUT_OF_SEQUENCE, 'it said goodbye before it had quit');
    this.#hasSaidBye = true;
  }

  #takeClose(): void {
    if (!this.#isBrief) throw unknownKind(MessageKind.CLOSE);
    if (this.#hasSaidBye) throw violation(MessageFault.AFTER_END, 'it closed after it had said goodbye');
    this.#hasClosed = true;
  }

  #takeIn(header: MessageHeader, payload: Uint8Array, length: number): void {
    const { window } = this;
    if (serialDistance(this.#nextSequence, window.told) === 0)
      throw violation(MessageFault.BEYOND_LIMIT, 'it sent more than there are receives');
    this.#options.gate?.charge(length, this.#isMore(header.kind) ? 0 : 1);
    this.#dispatch(header, payload);
    this.#nextSequence = serialAdd(this.#nextSequence, 1);
    if (header.kind === MessageKind.YIELD) this.#narrow(header.value);
    // The peer may have used up all that it knew of.
    else if (window.slots < this.#mostSlots && mayAdvance(window.known, this.#nextSequence)) this.#grow();
    this.#moveOn();
  }

  /** The peer may send as many fragments as there are receives, unless it has sent too much lately. */
  #moveOn(): boolean {
    const { window } = this;
    const { gate = null } = this.#options;
    const full = serialAdd(this.#nextSequence, window.slots);
    // It goes back where receives are gone that the peer was never told of.
    const isMore = serialDifference(window.limit, full) > 0;
    if (isMore && gate !== null && !gate.admits(this)) return false;
    window.limit = full;
    return isMore;
  }

  /** The peer may send more. */
  onOpen(): void {
    if (this.#moveOn()) this.#options.onReceiveGiven();
  }

  /** Whether a message has begun of which the next fragment of `kind` is a part. */
  #isMore(kind: MessageKind): boolean {
    if (kind === MessageKind.DATA) return this.#options.inbox.hasBegun;
    return isSealedMemory(kind) && (this.#sealed?.partialBytes ?? 0) > 0;
  }

  /** Twice the receives, or as many as there may be. */
  #grow(): void {
    if (this.#isGrowing) return;
    const { window } = this;
    const options = this.#options;
    const wanted = Math.min(window.slots, this.#mostSlots - window.slots);
    const there = this.#receives.reuse(wanted);
    window.slots += there;
    if (there === wanted || options.allocate === undefined) return;
    const link = this.#link;
    this.#isGrowing = true;
    const grown = (mr: MemoryRegion): void => {
      this.#isGrowing = false;
      if (link !== this.#link) {
        options.release?.(mr);
        return;
      }
      try {
        this.#receives.add(mr);
      } catch (error) {
        this.#options.onRefused(asOwnFault(error, 'the device refused a receive'));
        return;
      }
      window.slots += wanted - there;
      if (this.#moveOn()) this.#options.onReceiveGiven();
    };
    options.allocate((wanted - there) * options.slotBytes).then(grown, () => {
      this.#isGrowing = false;
      // For this link: it goes on with those that there are.
      if (link === this.#link) this.#mostSlots = this.window.slots;
    });
  }

  /** The peer sends no fragments with the next `numbers`: receives that it does not know of, or that it has given up, go. */
  #narrow(numbers: number): void {
    const { window } = this;
    this.#nextSequence = serialAdd(this.#nextSequence, numbers);
    const slots = Math.max(this.#options.slots, serialDistance(this.#nextSequence, window.told));
    this.#receives.retire(window.slots - slots);
    window.slots = slots;
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
      case MessageKind.YIELD:
        if (header.value >= serialDistance(this.#nextSequence, this.window.told))
          throw violation(MessageFault.BEYOND_LIMIT, 'it gave up more receives than it was told of');
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
    this.#sealed ??= new MessageAssembler();
    const data = this.#sealed.append(header, payload, maxBytes);
    if (data !== undefined) this.#options.onSealedMemory(header.kind, data);
  }
}
