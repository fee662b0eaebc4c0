/**
 * The streams of a connection: byte streams in both directions that share its fragments with the messages. Pure and
 * synchronous: calls of the program and fragments of the peer go in; events, and fragments by way of the outbox, come out.
 *
 * Both sides number the streams that they open 1, 2, 3 …; here ours are positive and the peer's negative. Each direction ends
 * once, by FIN or by RESET; a RESET ends both, and its receiver answers with its own unless it has ended its direction.
 *
 * Invariants: the peer has at most as many streams open as it was told, with at most a window of bytes each; a stream that is
 * over, read to its end, leaves nothing behind.
 */
import { RdmaError, usageError } from '../../verbs/errors.js';
import { mayAdvance, serialAdd, serialDistance } from '../common/serial-number.js';
import {
  MessageFault,
  MessageFlag,
  type MessageHeader,
  MessageKind,
  violation,
} from '../fragments/message-header.js';
import type { SendDone } from '../fragments/message-queue.js';
import type { Control, Cut, Outbox } from '../fragments/outbox.js';
import { IncomingStream } from './incoming-stream.js';
import { OutgoingStream } from './outgoing-stream.js';
import type { ChunkMemory } from './stream-memory.js';

/** Ours are 1, 2, 3 …, the peer's -1, -2, -3 … */
export type StreamId = number;

const HIGHEST_STREAM = 2 ** 31 - 1;

export interface StreamEvents {
  /** The peer has opened a stream. */
  onOpened(id: StreamId): void;
  /** There is something to read, or the end to be seen. */
  onReadable(id: StreamId): void;
  /**
   * The peer has reset the stream: nothing can be written any more. `isWhole`: it had ended its direction before, which can
   * be read to its end; else what was not read is gone.
   */
  onReset(id: StreamId, code: number, isWhole: boolean): void;
  /** The number of the last stream that we may open. */
  onOpenLimit(last: number): void;
  /**
   * The connection is over, for all streams; `isInOrder`: nothing has failed. What was not taken can be taken until this
   * returns.
   */
  onEnd(error: RdmaError, isInOrder: boolean): void;
}

export interface StreamTableOptions {
  readonly outbox: Outbox;
  /** Learn what happens until `listen`. */
  readonly events?: StreamEvents;
  /** Streams that the peer may have open. */
  readonly streams: number;
  /** Bytes of a stream that may wait for the program. */
  readonly windowBytes: number;
  /** Where the bytes of streams are counted from; other than 0 in tests only. */
  readonly start?: number;
  /** The number below that of the first stream of each side; other than 0 in tests only. */
  readonly firstStream?: number;
  /** Where chunks can leave from without a copy; `null`: nowhere. */
  readonly memory?: ChunkMemory | null;
}

interface Stream {
  readonly id: StreamId;
  readonly out: OutgoingStream;
  readonly in: IncomingStream;
  readonly limit: StreamControl;
  /** Set once; `null` = not reset by us. */
  resetCode: number | null;
}

/** Nothing is ever put into it. */
const NO_STREAMS = new Map<StreamId, Stream>();

export class StreamTable {
  readonly #options: StreamTableOptions;
  /** A map of its own with the first stream: most connections have none. */
  #streams: Map<StreamId, Stream> = NO_STREAMS;
  #openLimit: StreamControl | null = null;
  #events: StreamEvents;
  #isListened = false;
  #isHeld = false;
  #opened: number;
  #openedByPeer: number;
  /** Streams that we may have opened. */
  #mayOpen = 0;
  #peerMayOpen: number;
  #toldOpen: number;
  #peerWindowBytes = 0;
  #failure: RdmaError | undefined;
  #hasEndedInOrder = false;

  constructor(options: StreamTableOptions) {
    const { events = NOBODY, streams, firstStream = 0 } = options;
    this.#options = options;
    this.#events = events;
    this.#opened = firstStream;
    this.#openedByPeer = firstStream;
    this.#peerMayOpen = Math.min(HIGHEST_STREAM, firstStream + streams);
    this.#toldOpen = this.#peerMayOpen;
  }

  /** From now on `events` learn what happens; at once, which streams of the peer are there and can be read. */
  listen(events: StreamEvents): void {
    this.#events = events;
    this.#isListened = true;
    for (const stream of [...this.#streams.values()]) {
      const { id, in: incoming } = stream;
      // What came whole before a reset is told like any other stream.
      if (id > 0 || (stream.resetCode !== null && !incoming.hasBytes)) continue;
      const code = stream.resetCode;
      events.onOpened(id);
      const isNews = incoming.hasBytes || incoming.hasEnded;
      // Whoever learns of a stream may reset it at once.
      if (isNews && stream.resetCode === code) events.onReadable(id);
      if (code !== null) events.onReset(id, code, true);
    }
    events.onOpenLimit(this.#mayOpen);
    if (this.#failure !== undefined) this.#tellEnd(this.#failure);
  }

  get isListened(): boolean {
    return this.#isListened;
  }

  /** The connection is over. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** As long as it is held, there is more to come than was written. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (!isHeld) this.#options.outbox.onReady();
  }

  /** Number of the last stream that the peer may open for now. */
  get openLimit(): number {
    return this.#peerMayOpen;
  }

  /** Streams that are not over. */
  get size(): number {
    return this.#streams.size;
  }

  /** Those of them that the peer has opened. */
  get openedByPeer(): number {
    let count = 0;
    for (const id of this.#streams.keys()) if (id < 0) count++;
    return count;
  }

  /** Whether bytes or ends of streams wait to leave. */
  get hasUnsent(): boolean {
    for (const { out } of this.#streams.values()) if (out.hasUnsent) return true;
    return this.#isHeld;
  }

  /** What the peer promised with the first link. Streams that it has opened by then are bounded by it as well. */
  takeTerms(streams: number, windowBytes: number): void {
    this.#mayOpen = streams;
    this.#peerWindowBytes = windowBytes;
    const limit = serialAdd(this.#options.start ?? 0, windowBytes);
    for (const { out } of this.#streams.values()) {
      // It may have told of more.
      if (mayAdvance(out.limit, limit)) out.limit = limit;
      this.#options.outbox.enter(out);
    }
    this.#events.onOpenLimit(this.#mayOpen);
  }

  // --- calls of the program -----------------------------------------------------------------------------------------

  /** @throws RdmaError ERR_RDMA_LIMIT when the peer does not take another one now. */
  open(): StreamId {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#opened >= this.#mayOpen) {
      const message = `the peer takes ${this.#mayOpen} streams for now; end some, or wait until it has read them`;
      throw new RdmaError('ERR_RDMA_LIMIT', message);
    }
    const id = ++this.#opened;
    this.#add(id);
    const opening = new StreamControl((cut) => {
      cut.describe(MessageKind.STREAM, id, 0, 0, this.#options.start ?? 0);
    });
    this.#options.outbox.control(opening);
    return id;
  }

  /** `data` must not change until `done` is called. */
  write(id: StreamId, data: Uint8Array, done: SendDone): void {
    const { out } = this.#writable(id);
    if (data.length === 0) {
      queueMicrotask(() => done(undefined));
      return;
    }
    out.write(data, done);
    this.#options.outbox.wake(out);
  }

  /** Ends our direction. `done`: the peer has all of it. */
  end(id: StreamId, done: SendDone = () => {}): void {
    const { out } = this.#writable(id);
    out.end(done);
    this.#options.outbox.wake(out);
  }

  /** Ends both directions at once; what waits to be sent or read is thrown away. Nothing happens to a stream that is over. */
  reset(id: StreamId, code: number): void {
    if (!Number.isInteger(code) || code < 0 || code > 0xffffffff)
      throw usageError('the code of a reset must be an integer from 0 to 4294967295');
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.resetCode !== null) return;
    stream.in.drop();
    this.#sendReset(stream, code, resetError('this side', code));
    this.#removeIfOver(stream);
  }

  /** The oldest bytes that wait, which are the caller's; `undefined` when there are none now. */
  read(id: StreamId): Uint8Array | undefined {
    const bytes = this.take(id);
    if (bytes !== undefined) this.consume(id, bytes.length);
    return bytes;
  }

  /** As `read`, but the bytes count as unread until `consume`. */
  take(id: StreamId): Uint8Array | undefined {
    return this.#streams.get(id)?.in.take();
  }

  /** The program has read so many bytes of those that were taken. */
  consume(id: StreamId, length: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.in.consume(length);
    if (stream.in.isLimitDue) this.#options.outbox.control(stream.limit);
    this.#removeIfOver(stream);
  }

  /** Whether the peer's direction has ended in order or by a reset. */
  hasEnded(id: StreamId): boolean {
    return this.#streams.get(id)?.in.hasEnded ?? true;
  }

  /** Whether the peer's direction has ended and is read to its end. */
  isAtEnd(id: StreamId): boolean {
    return this.#streams.get(id)?.in.isOver ?? true;
  }

  /** Bytes that were written and have not left. */
  waitingBytes(id: StreamId): number {
    return this.#streams.get(id)?.out.waitingBytes ?? 0;
  }

  /** Bytes that wait to be read. */
  unreadBytes(id: StreamId): number {
    return this.#streams.get(id)?.in.unreadBytes ?? 0;
  }

  /** The connection is over: all that waits to be sent ends with `error`. Who listens, now or later, may read what is left. */
  fail(error: RdmaError, isInOrder = false): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#hasEndedInOrder = isInOrder;
    for (const { out } of [...this.#streams.values()]) out.reset(error);
    if (this.#events !== NOBODY) this.#tellEnd(error);
  }

  #tellEnd(error: RdmaError): void {
    this.#events.onEnd(error, this.#hasEndedInOrder);
    this.#streams.clear();
  }

  // --- fragments of the peer ----------------------------------------------------------------------------------------

  /** `isOwn`: nobody else uses the memory of `payload`. @throws RdmaError ERR_RDMA_PROTOCOL, as all below. */
  onBytes(header: MessageHeader, payload: Uint8Array, isOwn = false): void {
    const id = idOf(header);
    const isFirst = id < 0 && -id > this.#openedByPeer;
    const stream = isFirst ? this.#openPeers(id) : this.#streams.get(id);
    if (stream === undefined) throw this.#refusal(id);
    const isLast = (header.flags & MessageFlag.FIN) !== 0;
    if (payload.length === 0 && !isFirst && !isLast)
      throw violation(MessageFault.EMPTY_FRAGMENT, 'a fragment is empty');
    stream.in.append(header.value, payload, isLast, isOwn);
    const events = this.#events;
    if (isFirst) events.onOpened(id);
    if (stream.resetCode === null && (payload.length > 0 || isLast)) events.onReadable(id);
    this.#removeIfOver(stream);
  }

  onReset(header: MessageHeader): void {
    const id = idOf(header);
    const isFirst = id < 0 && -id > this.#openedByPeer;
    if (isFirst || (id > 0 && id > this.#opened)) throw this.#refusal(id);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    // What came before an orderly end is whole and can still be read.
    const isWhole = stream.in.hasEnded;
    if (!isWhole) stream.in.drop();
    stream.in.end();
    const isNews = stream.resetCode === null;
    if (isNews && !stream.out.isOver)
      this.#sendReset(stream, header.value, resetError('the peer', header.value));
    if (isNews) this.#events.onReset(id, header.value, isWhole);
    this.#removeIfOver(stream);
  }

  onLimit(header: MessageHeader): void {
    const id = idOf(header);
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const isKnown = id > 0 ? id <= this.#opened : -id <= this.#openedByPeer;
      if (!isKnown) throw this.#refusal(id);
      return;
    }
    if (!mayAdvance(stream.out.limit, header.value))
      throw violation(MessageFault.LIMIT_WENT_BACK, 'its limit of a stream went back, or too far ahead');
    stream.out.limit = header.value;
    this.#options.outbox.wake(stream.out);
  }

  onOpenLimit(header: MessageHeader): void {
    if (header.value < this.#mayOpen || header.value > HIGHEST_STREAM)
      throw violation(MessageFault.LIMIT_WENT_BACK, 'its limit of streams went back, or too far ahead');
    this.#mayOpen = header.value;
    this.#events.onOpenLimit(this.#mayOpen);
  }

  #openPeers(id: StreamId): Stream {
    if (-id !== this.#openedByPeer + 1) throw violation(MessageFault.UNKNOWN_STREAM, 'it left a stream out');
    if (-id > this.#toldOpen)
      throw violation(MessageFault.TOO_MANY_STREAMS, `it opened more than ${this.#toldOpen} streams`);
    this.#openedByPeer++;
    return this.#add(id);
  }

  #refusal(id: StreamId): RdmaError {
    const isKnown = id > 0 ? id <= this.#opened : -id <= this.#openedByPeer;
    return isKnown
      ? violation(MessageFault.AFTER_END, 'it sent bytes on a stream that is over')
      : violation(MessageFault.UNKNOWN_STREAM, 'it named a stream that nobody has opened');
  }

  #add(id: StreamId): Stream {
    const { outbox, windowBytes, start = 0, memory = null } = this.#options;
    const out: OutgoingStream = new OutgoingStream({
      stream: Math.abs(id),
      isPeers: id < 0,
      limit: serialAdd(start, this.#peerWindowBytes),
      start,
      onOver: () => this.#removeIfOver(stream),
      onReady: () => outbox.wake(out),
      memory,
    });
    const limit = new StreamControl((cut) => {
      const flags = id < 0 ? MessageFlag.YOURS : 0;
      cut.describe(MessageKind.STREAM_LIMIT, Math.abs(id), flags, 0, stream.in.tellLimit());
    });
    const stream: Stream = { id, out, in: new IncomingStream(windowBytes, start), limit, resetCode: null };
    if (this.#streams === NO_STREAMS) this.#streams = new Map();
    this.#streams.set(id, stream);
    return stream;
  }

  #writable(id: StreamId): Stream {
    if (this.#failure !== undefined) throw this.#failure;
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.out.hasEnded)
      throw new RdmaError('ERR_RDMA_INVALID_STATE', `our direction of stream ${id} has ended`);
    return stream;
  }

  #sendReset(stream: Stream, code: number, error: RdmaError): void {
    const { id, out } = stream;
    stream.resetCode = code;
    const flags = id < 0 ? MessageFlag.YOURS : 0;
    const reset = new StreamControl(
      (cut) => cut.describe(MessageKind.RESET, Math.abs(id), flags, 0, code),
      () => out.resetArrived(),
    );
    // Before the RESET leaves: whatever it wakes must find nothing to send behind it.
    out.reset(error);
    this.#options.outbox.control(reset);
  }

  #removeIfOver(stream: Stream): void {
    if (!stream.out.isOver || !stream.in.isOver) return;
    if (!this.#streams.delete(stream.id) || stream.id > 0) return;
    this.#peerMayOpen = Math.min(HIGHEST_STREAM, this.#peerMayOpen + 1);
    const gained = serialDistance(this.#toldOpen, this.#peerMayOpen);
    // The last numbers are told at once: no half of them may be left.
    const isLast = this.#peerMayOpen === HIGHEST_STREAM && gained > 0;
    if (isLast || gained * 2 >= this.#options.streams) this.#tellOpenLimit();
  }

  #tellOpenLimit(): void {
    this.#openLimit ??= new StreamControl((cut) => {
      this.#toldOpen = this.#peerMayOpen;
      cut.describe(MessageKind.OPEN_LIMIT, 0, 0, 0, this.#toldOpen);
    });
    this.#options.outbox.control(this.#openLimit);
  }
}

class StreamControl implements Control {
  isQueued = false;
  readonly fill: (cut: Cut) => void;
  readonly arrived: () => void;

  constructor(fill: (cut: Cut) => void, arrived: () => void = () => {}) {
    this.fill = fill;
    this.arrived = arrived;
  }
}

const NOBODY: StreamEvents = { onOpened() {}, onReadable() {}, onReset() {}, onOpenLimit() {}, onEnd() {} };

const idOf = ({ stream, flags }: MessageHeader): StreamId =>
  (flags & MessageFlag.YOURS) !== 0 ? stream : -stream;

const resetError = (who: string, code: number): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', `${who} reset the stream with the code ${code}`);
