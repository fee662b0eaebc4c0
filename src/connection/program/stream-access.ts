/**
 * The streams of a connection for its program: opens some, tells of those of the peer, and ends all with the connection.
 *
 * A stream that the peer does not take yet waits without a number: what is written to it waits in the stream. In an orderly
 * end what was written before reaches the peer, also what Node still holds.
 *
 * Invariants: a stream of the peer that nobody listens for is reset; every stream comes to its end with its connection.
 */
import { closedError, RdmaError } from '../../verbs/errors.js';
import { FIXED_NUMBERS } from '../common/fixed-numbers.js';
import type { ByteChannel } from '../streams/byte-channel.js';
import { resetByPeer } from '../streams/reset-codes.js';
import { StreamChannel } from '../streams/stream-channel.js';
import type { StreamListener, StreamPlane } from '../streams/stream-outlet.js';
import type { StreamId } from '../streams/stream-table.js';
import { checkOpenStream } from './call-rules.js';
import { ConnectionStream, type OpenStreamOptions } from './connection-stream.js';

export interface StreamHost {
  /** Nothing new is begun any more. */
  readonly isEnding: boolean;
  /** Tells the program of a stream of the peer; returns whether it listens. */
  onStream(stream: ConnectionStream): boolean;
}

/** What has a stream for the program: a `ConnectionStream`, or another part of this package. */
export interface StreamSeat {
  readonly destroyed: boolean;
  /** What the program wrote, and the channel was not given yet. */
  readonly owed: { bytes: number; end: boolean };
  noteOpen(id: StreamId): void;
  attach(channel: ByteChannel): void;
  /** The stream is over before it had a channel. */
  destroy(error: Error): unknown;
  /** It has no channel yet; `onGone` is called when it is destroyed before it gets one. */
  noteWaiting(onGone: () => void): void;
}

interface Open {
  readonly stream: StreamSeat;
  readonly channel: StreamChannel;
}

const NONE_OPEN: ReadonlyMap<StreamId, Open> = new Map();
const NONE_WAITING: ReadonlySet<StreamSeat> = new Set();

export class StreamAccess implements StreamListener {
  readonly #host: StreamHost;
  readonly #plane: StreamPlane;
  /** Made for the first stream, as most connections have none. */
  #open: Map<StreamId, Open> | null = null;
  /** Streams that the peer does not take yet, in the order of the calls. */
  #waiting: Set<StreamSeat> | null = null;
  /** Streams that still have something to give before the connection may end. */
  #owing = 0;
  #isRefusing: boolean;
  /** Makes seats for streams of the peer; they are ConnectionStreams otherwise. */
  #makeSeat: (() => StreamSeat) | null = null;
  /** Numbers of the streams that were opened last, and that may be. */
  #opened: number = FIXED_NUMBERS.first.stream;
  #last: number;

  /**
   * `last`: the number of the last stream that the peer takes for now; 0: it takes none at all. `isRefusing`: as after `refuse`. `plane`
   * is listened to by whoever tells of it.
   */
  constructor(host: StreamHost, plane: StreamPlane, last: number, isRefusing = false) {
    this.#host = host;
    this.#plane = plane;
    this.#last = last;
    this.#isRefusing = isRefusing;
  }

  /** Whether no stream can be opened any more. */
  get isEnding(): boolean {
    return this.#host.isEnding;
  }

  /** @throws RdmaError as `Connection.openStream`. */
  open(options: OpenStreamOptions): ConnectionStream {
    checkOpenStream(options);
    this.#checkOpen();
    const stream = new ConnectionStream(options);
    // One that has aborted destroys the stream in a moment: the peer need not hear of it.
    if (options.signal?.aborted !== true) this.seat(stream);
    return stream;
  }

  /** Opens a stream for `stream`. @throws RdmaError as `Connection.openStream`. */
  seat(stream: StreamSeat): void {
    this.#checkOpen();
    if (stream.destroyed) return;
    this.#waiting ??= new Set();
    const waiting = this.#waiting;
    if (waiting.size === 0 && this.#opened < this.#last) this.#openNow(stream);
    else {
      waiting.add(stream);
      stream.noteWaiting(() => waiting.delete(stream));
    }
  }

  /** From now on streams of the peer get seats of `make`, and the program does not hear of them. */
  seatBy(make: () => StreamSeat): void {
    this.#makeSeat = make;
  }

  /** Takes no more streams of the peer. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** The connection is about to end in order: what was written until now shall reach the peer first. */
  close(): void {
    this.refuse();
    for (const stream of this.#waiting ?? NONE_WAITING) stream.destroy(closedError('the connection'));
    for (const { stream, channel } of (this.#open ?? NONE_OPEN).values())
      if (channel.seal(stream.owed)) this.#owing++;
    if (this.#owing > 0) this.#plane.holdQuit(true);
  }

  // --- what the data plane tells ------------------------------------------------------------------------------------

  onStreamOpened(id: StreamId): void {
    if (this.#makeSeat !== null && !this.#isRefusing) {
      this.#begin(this.#makeSeat(), id);
      return;
    }
    const stream = new ConnectionStream({});
    const channel = this.#begin(stream, id);
    process.nextTick(() => {
      if (stream.destroyed || (!this.#isRefusing && this.#host.onStream(stream))) return;
      channel.refuse();
      stream.destroy();
    });
  }

  onStreamBytes(id: StreamId, bytes: Uint8Array, isLast: boolean): void {
    this.#open?.get(id)?.channel.onBytes(bytes, isLast);
  }

  onStreamReset(id: StreamId, code: number, isWhole: boolean): void {
    const channel = this.#open?.get(id)?.channel;
    const error = resetByPeer(code);
    if (isWhole) channel?.onResetBehindEnd(error);
    else channel?.onReset(error);
  }

  onStreamLimit(last: number): void {
    this.#last = Math.max(this.#last, last);
    for (const stream of this.#waiting ?? NONE_WAITING) {
      if (this.#opened >= this.#last) return;
      this.#waiting?.delete(stream);
      if (!stream.destroyed) this.#openNow(stream);
    }
  }

  onStreamsEnded(error: RdmaError, isInOrder: boolean): void {
    for (const { channel } of [...(this.#open ?? NONE_OPEN).values()]) {
      if (isInOrder) channel.onClosed(error);
      else channel.onReset(error);
    }
    for (const stream of [...(this.#waiting ?? NONE_WAITING)]) stream.destroy(error);
  }

  #checkOpen(): void {
    if (this.#host.isEnding) throw closedError('the connection');
    if (this.#last === 0)
      throw new RdmaError('ERR_RDMA_LIMIT', 'the peer takes no streams; it must allow them (streams.open)');
  }

  #openNow(stream: StreamSeat): void {
    const id = ++this.#opened;
    this.#plane.openStream(id);
    this.#begin(stream, id);
  }

  #begin(stream: StreamSeat, id: StreamId): StreamChannel {
    this.#open ??= new Map();
    const open = this.#open;
    const channel = new StreamChannel({
      id,
      plane: this.#plane,
      onOver: () => open.delete(id),
      onSettled: () => this.#onSettled(),
    });
    open.set(id, { stream, channel });
    stream.noteOpen(id);
    stream.attach(channel);
    return channel;
  }

  #onSettled(): void {
    this.#owing--;
    if (this.#owing === 0) this.#plane.holdQuit(false);
  }
}
