/**
 * Messages of the peer that arrive piece by piece, and those that wait for the program. The peer may send up to a limit; it
 * moves on as the program takes messages. A message that is still arriving does not count, or one longer than the window
 * would never arrive: so at most the window and one message are kept.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { Deque } from '../common/deque.js';
import { serialAdd, serialDifference, serialDistance } from '../common/serial-number.js';
import { MessageFault, type MessageHeader, MessageKind, violation } from '../fragments/message-header.js';
import { MESSAGE_COST_BYTES } from '../fragments/message-queue.js';
import type { Control, Cut } from '../fragments/outbox.js';

/** A message of the peer. */
export interface Message {
  /** What the peer's program gave it: 0 unless it says otherwise. */
  readonly tag: number;
  /** The program's own copy. */
  readonly data: Uint8Array;
}

/** Puts the fragments of one message after the other together. */
export class MessageAssembler {
  #partial: { readonly kind: MessageKind; readonly tag: number; readonly data: Uint8Array } | null = null;
  #receivedBytes = 0;

  /** Bytes of the message that has begun and is not whole. */
  get partialBytes(): number {
    return this.#partial === null ? 0 : this.#receivedBytes;
  }

  /** Returns the message when it is whole. */
  append(header: MessageHeader, fragment: Uint8Array, maxBytes: number): Uint8Array | undefined {
    const { kind, tag, value: totalBytes } = header;
    if (this.#partial === null) {
      if (totalBytes > maxBytes) {
        const sentence = `it sent a message of ${totalBytes} bytes, but ${maxBytes} is the limit`;
        throw violation(MessageFault.MESSAGE_TOO_LARGE, sentence);
      }
      if (fragment.length > totalBytes) throw beyondMessage();
      this.#partial = { kind, tag, data: new Uint8Array(totalBytes) };
      this.#receivedBytes = 0;
    }
    const partial = this.#partial;
    if (partial.kind !== kind || partial.tag !== tag || partial.data.length !== totalBytes) {
      throw violation(MessageFault.FRAGMENTS_DIFFER, 'the fragments of a message do not fit together');
    }
    if (fragment.length === 0 && totalBytes > 0)
      throw violation(MessageFault.EMPTY_FRAGMENT, 'a fragment is empty');
    if (this.#receivedBytes + fragment.length > totalBytes) throw beyondMessage();
    partial.data.set(fragment, this.#receivedBytes);
    this.#receivedBytes += fragment.length;
    if (this.#receivedBytes < totalBytes) return undefined;
    this.#partial = null;
    return partial.data;
  }
}

const beyondMessage = () => violation(MessageFault.BEYOND_MESSAGE, 'a fragment reaches beyond its message');

/** Somebody who waits for a message. */
export interface Waiter {
  /** Its number, by which it stops waiting. */
  readonly request?: number;
  resolve(message: Message | undefined): void;
  reject(error: RdmaError): void;
}

export interface InboxOptions {
  readonly maxMessageBytes: number;
  /** Cost of the messages that may wait for the program. */
  readonly windowBytes: number;
  /** Has the control leave soon. */
  readonly tell: (control: Control) => void;
  /** Where counting begins; other than 0 in tests only. */
  readonly start?: number;
}

export class MessageInbox implements Control {
  isQueued = false;
  readonly #options: InboxOptions;
  readonly #assembler = new MessageAssembler();
  /** From the first message on that nobody waited for. */
  #ready: Deque<Message> | null = null;
  readonly #waiters = new Deque<Waiter>();
  /** Cost of the messages that nobody has taken. */
  #readyBytes = 0;
  /** Cost of all that came, and what the peer was told that it may send, modulo 2^32. */
  #received: number;
  #told: number;
  #ended = false;
  #failure: RdmaError | undefined;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#received = options.start ?? 0;
    this.#told = serialAdd(this.#received, options.windowBytes);
  }

  /** Messages that wait for the program. */
  get unread(): number {
    return this.#ready?.length ?? 0;
  }

  /** What they cost. */
  get unreadBytes(): number {
    return this.#readyBytes;
  }

  /** A message has begun and is not whole. */
  get hasBegun(): boolean {
    return this.#assembler.partialBytes > 0;
  }

  /** Those who wait for a message. */
  get waiters(): number {
    return this.#waiters.length;
  }

  /** A fragment of kind DATA. */
  append(header: MessageHeader, fragment: Uint8Array): void {
    const isFirst = this.#assembler.partialBytes === 0;
    const cost = fragment.length + (isFirst ? MESSAGE_COST_BYTES : 0);
    if (cost > serialDistance(this.#received, this.#told)) {
      throw violation(MessageFault.BEYOND_STREAM_LIMIT, 'it sent more of messages than it may');
    }
    const data = this.#assembler.append(header, fragment, this.#options.maxMessageBytes);
    this.#received = serialAdd(this.#received, cost);
    if (data !== undefined) this.#deliver({ tag: header.tag, data });
    this.#tellLimit();
  }

  /** The next message; `undefined` when the peer has quit and nothing is left. */
  next(): Promise<Message | undefined> {
    return new Promise((resolve, reject) => this.wait({ resolve, reject }));
  }

  /** Gives `waiter` the next message, now or when it comes. */
  wait(waiter: Waiter): void {
    const message = this.#ready?.shift();
    if (message !== undefined) {
      this.#readyBytes -= costOf(message);
      waiter.resolve(message);
      this.#tellLimit();
    } else if (this.#failure !== undefined) waiter.reject(this.#failure);
    else if (this.#ended) waiter.resolve(undefined);
    else this.#waiters.push(waiter);
  }

  /** Whoever has this number waits no longer, and no message is lost; returns whether somebody had it. */
  forget(request: number): boolean {
    const index = this.#waiters.findIndex((waiter) => waiter.request === request);
    this.#waiters.removeAt(index);
    return index >= 0;
  }

  /** No message will come any more; those that are here can still be taken. */
  end(): void {
    this.#ended = true;
    for (const waiter of this.#waiters.takeAll()) waiter.resolve(undefined);
  }

  /** The connection is lost: whoever waits learns why. Messages that arrived whole can still be taken. */
  fail(error: RdmaError): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = error;
    for (const waiter of this.#waiters.takeAll()) waiter.reject(error);
  }

  /** The limit of messages, as it is when it leaves. */
  fill(cut: Cut): void {
    if (serialDifference(this.#told, this.#limit) > 0) this.#told = this.#limit;
    cut.describe(MessageKind.STREAM_LIMIT, 0, 0, 0, this.#told);
  }

  arrived(): void {}

  get #limit(): number {
    return serialAdd(this.#received, this.#options.windowBytes - this.#readyBytes);
  }

  #deliver(message: Message): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve(message);
      return;
    }
    this.#ready ??= new Deque();
    this.#ready.push(message);
    this.#readyBytes += costOf(message);
  }

  /** The peer is told when half of the window has become free. */
  #tellLimit(): void {
    const gained = serialDifference(this.#told, this.#limit);
    if (gained > 0 && gained * 2 >= this.#options.windowBytes) this.#options.tell(this);
  }
}

const costOf = (message: Message): number => MESSAGE_COST_BYTES + message.data.length;
