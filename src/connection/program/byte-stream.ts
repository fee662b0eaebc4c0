/**
 * A byte channel as `stream.Duplex`. What a Duplex promises is Node's own doing; here bytes and ends are passed on.
 *
 * It can be used before it has a channel, as a socket can before it is connected: what is written waits for `attach`.
 *
 * Invariants: a chunk is the channel's until its callback is called, and no byte of a long one is copied here; a reader who stops
 * stops the taking of bytes from the channel, and with it the peer; the channel is closed once. What had arrived when the
 * carrier ended in order is read to its end before the stream ends with an error. No method of a subclass is called before its
 * constructor is done.
 */
import { addAbortSignal, Duplex } from 'node:stream';
import type { ByteChannel, ByteChannelListener } from '../streams/byte-channel.js';

export interface ByteStreamOptions {
  /** Whether this side may go on writing when the peer has ended its direction. Default true. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Bytes that may wait in each direction before `write` returns false, and before no more is taken from the channel. */
  readonly highWaterMark?: number | undefined;
  readonly readableHighWaterMark?: number | undefined;
  readonly writableHighWaterMark?: number | undefined;
  /** Destroys the stream with an AbortError when it aborts; in the next tick, if it has already. */
  readonly signal?: AbortSignal | undefined;
}

/** Chunks that are no longer together leave as one: a head of HTTP and a short body are one packet. */
const JOINED_BYTES = 4096;

/** What Node hands over with a write and at the end. */
type Callback = (error?: Error | null) => void;

export class ByteStream extends Duplex {
  #channel: ByteChannel | undefined;
  /** The write, or the end, that Node waits for; it makes one at a time. */
  #pending: Callback | null = null;
  /** Chunks of it that the channel has, and bytes of all of it. */
  #unanswered = 0;
  #pendingBytes = 0;
  /** The end went to the channel; the peer has it. */
  #isEndGiven = false;
  #isEndDone = false;
  /** What is to be done first when a channel comes. */
  #begin: (() => void) | null = null;
  #wantsBytes = false;
  #hasEnd = false;
  /** Nothing can be given to the channel any more. */
  #isClosed = false;
  #isFinal = false;
  /** The channel has closed; not told yet, because there is something to read. */
  #fault: Error | null = null;
  #bytesRead = 0;
  #bytesWritten = 0;

  /** How often it was renewed: what a channel of before answers is of no interest. */
  #life = 0;
  #onDone = this.#doneOf(0);
  #onEndDone = this.#endDoneOf(0);

  constructor(options: ByteStreamOptions = {}) {
    super(given(options));
    const { signal } = options;
    // One that has aborted destroys at once, and a subclass has no private fields yet.
    if (signal?.aborted === true) process.nextTick(addAbortSignal, signal, this);
    else if (signal !== undefined) addAbortSignal(signal, this);
  }

  /** How the program is told of an error of the channel. For subclasses. */
  protected told(error: Error): Error {
    return error;
  }

  /** Bytes that were taken from the channel. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Bytes that were given to the channel. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** What was written and ended, and the channel was not given yet. */
  get owed(): { bytes: number; end: boolean } {
    const bytes = this.writableLength - this.#pendingBytes;
    return { bytes, end: this.writableEnded && !this.#isEndGiven };
  }

  /** From now on bytes go through `channel`; called once in a life. A stream that is destroyed closes it. */
  attach(channel: ByteChannel): void {
    if (this.destroyed) {
      channel.close(this.errored);
      return;
    }
    this.#channel = channel;
    channel.listener = this.#listener();
    const begin = this.#begin;
    this.#begin = null;
    begin?.();
    this.#take();
  }

  /** Makes a stream that has closed one that never had a channel. For subclasses whose Node can do so. */
  protected renew(): void {
    const life = ++this.#life;
    this.#onDone = this.#doneOf(life);
    this.#onEndDone = this.#endDoneOf(life);
    this.#channel = undefined;
    this.#unanswered = 0;
    this.#isEndGiven = false;
    this.#isEndDone = false;
    this.#wantsBytes = false;
    this.#hasEnd = false;
    this.#isClosed = false;
    this.#isFinal = false;
    this.#bytesRead = 0;
    this.#bytesWritten = 0;
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.#fault !== null) {
      this.#tellFault();
      this.#tellFaultBehindEnd();
    }
    return chunk;
  }

  /** The end goes with the last bytes, not a round trip behind them. */
  override end(...args: unknown[]): this {
    super.end(...(args as []));
    this.#endEarly();
    return this;
  }

  override _read(): void {
    this.#wantsBytes = true;
    this.#take();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: Callback): void {
    this.#pending = callback;
    const channel = this.#channel;
    if (channel === undefined) this.#begin = () => this._write(chunk, _encoding, callback);
    else if (this.#isClosed) this.#tellFault();
    else {
      this.#unanswered = 1;
      this.#pendingBytes = chunk.length;
      this.#give(channel, chunk);
      this.#endEarly();
    }
  }

  override _writev(chunks: readonly { chunk: Uint8Array }[], callback: Callback): void {
    this.#pending = callback;
    const channel = this.#channel;
    if (channel === undefined) this.#begin = () => this._writev(chunks, callback);
    else if (this.#isClosed) this.#tellFault();
    else {
      let bytes = 0;
      for (const { chunk } of chunks) bytes += chunk.length;
      this.#pendingBytes = bytes;
      this.#unanswered = bytes <= JOINED_BYTES ? 1 : chunks.length;
      if (bytes <= JOINED_BYTES) this.#give(channel, joined(chunks, bytes));
      else for (const { chunk } of chunks) this.#give(channel, chunk);
      this.#endEarly();
    }
  }

  override _final(callback: Callback): void {
    this.#pending = callback;
    const channel = this.#channel;
    if (channel === undefined) this.#begin = () => this._final(callback);
    else if (this.#isEndDone) this.#answer(null);
    else if (this.#isClosed) this.#tellFault();
    else {
      this.#isFinal = true;
      this.#giveEnd(channel);
    }
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const channel = this.#channel;
    this.#begin = null;
    this.#fault = null;
    if (channel !== undefined) {
      channel.listener = null;
      channel.close(error);
    }
    // Node forgets the write that is under way; whoever waits for it would wait for ever. As sockets do, it is answered without
    // an error when there is none: an error would count as one of the stream. Not while the device may read its chunk.
    const released = channel?.released;
    if (released === undefined) this.#answer(error);
    else {
      const answer = this.#takeAnswer();
      void released.then(() => answer?.(error));
    }
    callback(error);
  }

  #takeAnswer(): Callback | null {
    const callback = this.#pending;
    this.#pending = null;
    this.#pendingBytes = 0;
    return callback;
  }

  #doneOf(life: number): () => void {
    return () => {
      if (life === this.#life && --this.#unanswered === 0) this.#answer(null);
    };
  }

  #endDoneOf(life: number): () => void {
    return () => {
      if (life !== this.#life) return;
      this.#isEndDone = true;
      // Else `_final` comes later: Node has not heard yet that the last write is done.
      if (this.#unanswered === 0 && this.#isFinal) this.#answer(null);
    };
  }

  #listener(): ByteChannelListener {
    return {
      onReadable: () => this.#take(),
      onClosed: (error) => this.#onClosed(error),
      onReset: (error) => {
        this.destroy(this.told(error));
      },
    };
  }

  #give(channel: ByteChannel, chunk: Uint8Array): void {
    this.#bytesWritten += chunk.length;
    channel.write(chunk, this.#onDone);
  }

  /** Ends the channel when it has all bytes that there will be. */
  #endEarly(): void {
    const channel = this.#channel;
    if (channel === undefined || this.#isClosed || this.#pending === null || this.#isFinal) return;
    if (this.writableEnded && this.writableLength === this.#pendingBytes) this.#giveEnd(channel);
  }

  #giveEnd(channel: ByteChannel): void {
    if (this.#isEndGiven) return;
    this.#isEndGiven = true;
    channel.end(this.#onEndDone);
  }

  #answer(error: Error | null): void {
    this.#takeAnswer()?.(error);
  }

  /** Passes on what waits in the channel, as far as somebody wants it. */
  #take(): void {
    const channel = this.#channel;
    while (channel !== undefined && this.#wantsBytes && !this.destroyed) {
      const bytes = channel.read();
      if (bytes === undefined) {
        this.#seeEnd(channel);
        return;
      }
      this.#bytesRead += bytes.length;
      this.#wantsBytes = this.push(bytes);
    }
  }

  #seeEnd(channel: ByteChannel): void {
    if (this.#hasEnd || !channel.isAtEnd) return;
    this.#hasEnd = true;
    this.push(null);
  }

  /** Takes all that is left, wanted or not: the carrier is about to go. */
  #onClosed(error: Error): void {
    const channel = this.#channel;
    if (channel === undefined || this.destroyed) return;
    this.#isClosed = true;
    for (let bytes = channel.read(); bytes !== undefined; bytes = channel.read()) {
      this.#bytesRead += bytes.length;
      this.push(bytes);
    }
    this.#seeEnd(channel);
    // A reader may have destroyed the stream meanwhile.
    if (this.destroyed) return;
    this.#fault = this.told(error);
    this.#tellFault();
    // What is left may have been read just now.
    this.#tellFaultBehindEnd();
  }

  /** Node tells the end in a tick that it asks for when the last byte is read. No listener waits for it: programs may remove all. */
  #tellFaultBehindEnd(): void {
    if (this.#fault !== null && this.#hasEnd && this.readableLength === 0)
      process.nextTick(() => this.#tellFault());
  }

  /** Ends the stream with the error of its channel, unless somebody is still reading. */
  #tellFault(): void {
    const fault = this.#fault;
    if (fault === null) return;
    // Then the end of reading ends the stream, in order.
    if ((this.writableFinished || this.#isEndDone) && this.#hasEnd) return;
    const isRead = this.readableEnded || (this.readableLength === 0 && !this.#hasEnd);
    const isNeverRead =
      this.readableFlowing === null && (this.readableLength === 0 || this.#pending !== null);
    if (isRead || isNeverRead) this.destroy(fault);
  }
}

function joined(chunks: readonly { chunk: Uint8Array }[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const { chunk } of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Without those that are undefined, which Node does not take for left out. */
function given(options: ByteStreamOptions): Record<string, unknown> {
  const { allowHalfOpen = true, highWaterMark, readableHighWaterMark, writableHighWaterMark } = options;
  return {
    allowHalfOpen,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    ...(readableHighWaterMark === undefined ? {} : { readableHighWaterMark }),
    ...(writableHighWaterMark === undefined ? {} : { writableHighWaterMark }),
  };
}
