/**
 * Messages that wait to be sent, or for the peer to have them, in their order. A message is done when the peer's device has
 * acknowledged its last fragment, that is, when all of it is in the peer's memory.
 *
 * Messages of the program are bounded by a limit of the peer, which counts what they cost: their bytes, and
 * MESSAGE_COST_BYTES for each, so that empty ones do not pile up.
 */
import { RdmaError } from '../../verbs/errors.js';
import { Deque } from '../common/deque.js';
import { serialAdd, serialDistance } from '../common/serial-number.js';
import type { MessageKind } from './message-header.js';
import type { Cut, FragmentSource } from './outbox.js';

/** What a message costs beside its bytes. */
export const MESSAGE_COST_BYTES = 24;

/** Called once, with `undefined` when the peer has it. */
export type SendDone = (error: RdmaError | undefined) => void;

export interface OutgoingMessage {
  readonly kind: MessageKind;
  readonly tag: number;
  data: Uint8Array;
  readonly done: SendDone;
  /** The program's number for it, unique among its messages; 0 for those that nobody takes back. */
  readonly request: number;
  sentBytes: number;
  /** A fragment of it has left: the peer may have it. */
  hasBegun: boolean;
}

export class MessageQueue implements FragmentSource {
  isQueued = false;
  /** Those of which all was cut and not all has arrived, and behind them those that wait. */
  readonly #messages = new Deque<OutgoingMessage>();
  #cut = 0;
  /** Modulo 2^32; `null` = nothing is counted. */
  #limit: number | null;
  #sent: number;

  /** `limit`: what the peer allows at first, `null` for no limit. `start`: where its counting begins. */
  constructor(limit: number | null, start = 0) {
    this.#limit = limit;
    this.#sent = start;
  }

  /** Messages that are not done. */
  get pending(): number {
    return this.#messages.length;
  }

  /** Messages of which not all was cut. */
  get waiting(): number {
    return this.#messages.length - this.#cut;
  }

  /** What the peer allows, and what was sent of it, modulo 2^32. */
  get limit(): number {
    return this.#limit ?? 0;
  }

  set limit(limit: number) {
    this.#limit = limit;
  }

  get isReady(): boolean {
    const message = this.#messages.at(this.#cut);
    if (message === undefined) return false;
    const needed = (message.sentBytes === 0 ? MESSAGE_COST_BYTES : 0) + (message.data.length > 0 ? 1 : 0);
    return this.#room() >= needed;
  }

  get nextBytes(): number {
    const message = this.#messages.at(this.#cut);
    if (message === undefined) return 0;
    const { data, sentBytes } = message;
    return Math.min(data.length - sentBytes, this.#room() - (sentBytes === 0 ? MESSAGE_COST_BYTES : 0));
  }

  add(kind: MessageKind, tag: number, data: Uint8Array, done: SendDone, request = 0): void {
    this.#messages.push({ kind, tag, data, done, request, sentBytes: 0, hasBegun: false });
  }

  /** Takes back a message of which nothing was ever cut, and returns it. One that has begun goes on with a copy. */
  withdraw(request: number): OutgoingMessage | undefined {
    const index = this.#messages.findIndex((message) => message.request === request);
    const message = index < 0 ? undefined : this.#messages.at(index);
    if (message === undefined) return undefined;
    if (message.hasBegun) {
      message.data = message.data.slice();
      return undefined;
    }
    this.#messages.removeAt(index);
    return message;
  }

  take(cut: Cut, maxBytes: number): void {
    const message = this.#messages.at(this.#cut) as OutgoingMessage;
    const { kind, tag, data, sentBytes } = message;
    const headBytes = sentBytes === 0 ? MESSAGE_COST_BYTES : 0;
    const length = Math.min(maxBytes, data.length - sentBytes, this.#room() - headBytes);
    cut.describe(kind, 0, 0, tag, data.length);
    cut.offset = sentBytes;
    cut.put(data, sentBytes, length);
    cut.from = message;
    message.hasBegun = true;
    message.sentBytes = sentBytes + length;
    this.#sent = serialAdd(this.#sent, headBytes + length);
    if (message.sentBytes === data.length) this.#cut++;
  }

  arrived(cut: Cut): void {
    const message = cut.from as OutgoingMessage;
    if (cut.offset + cut.length !== message.data.length) return;
    this.#messages.shift();
    this.#cut--;
    message.done(undefined);
  }

  rewind(cut: Cut): void {
    const message = cut.from as OutgoingMessage;
    if (message.sentBytes === message.data.length) this.#cut--;
    message.sentBytes = cut.offset;
    if (cut.offset === 0) message.hasBegun = false;
    const headBytes = cut.offset === 0 ? MESSAGE_COST_BYTES : 0;
    this.#sent = serialAdd(this.#sent, -headBytes - cut.length);
  }

  /** Ends all with `error`, or, those that the peer may have, with ERR_RDMA_OUTCOME_UNKNOWN because of it. */
  fail(error: RdmaError): void {
    const cut = this.#cut;
    this.#cut = 0;
    // What has not left as a whole nobody has as a message.
    for (const [index, message] of this.#messages.takeAll().entries())
      message.done(index < cut ? mayHaveArrived(error) : error);
  }

  #room(): number {
    return this.#limit === null ? Number.MAX_SAFE_INTEGER : serialDistance(this.#sent, this.#limit);
  }
}

const mayHaveArrived = (cause: RdmaError): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'the connection ended before the peer said that it has the message: it may have it, or not',
    { cause },
  );
