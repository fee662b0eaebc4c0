/**
 * A byte channel that ends as TCP does. A socket that is destroyed says goodbye in order: the peer sees the end of what was
 * written, and no error, as long as it sends nothing more. `reset` makes the end a reset.
 *
 * Invariants: what the program wrote before it destroyed its socket still goes out, as long as the peer takes something of it every
 * `STALL_MILLIS`; a peer that sends to a socket that is gone, or keeps its own direction open for longer than `PARTING_MILLIS` after
 * it has our end, is reset; the channel below is closed once. The process stays until then.
 */
import type { ByteChannel, ByteChannelListener } from '../connection/streams/byte-channel.js';
import { ProcessHold } from '../process-hold.js';
import { RdmaError } from '../verbs/errors.js';
import type { TransportStream } from './transport.js';

/** As long as the kernel keeps a TCP socket that nobody owns, in the state FIN_WAIT_2, or less. */
const PARTING_MILLIS = 5000;
/** A peer that takes nothing for so long, takes nothing more. */
const STALL_MILLIS = 30_000;

export class PartingChannel implements ByteChannel {
  readonly #stream: TransportStream;
  readonly #inner: ByteChannel;
  #isEnded = false;
  /** The peer has all that was written, and our end. */
  #isFinished = false;
  /** The program has destroyed its socket. */
  #isParting = false;
  #isClosed = false;
  #wantsReset = false;
  #timer: NodeJS.Timeout | undefined;
  /** Of a socket that is destroyed. */
  #hold: ProcessHold | undefined;

  constructor(stream: TransportStream) {
    this.#stream = stream;
    this.#inner = stream.channel;
  }

  get listener(): ByteChannelListener | null {
    return this.#inner.listener;
  }

  set listener(listener: ByteChannelListener | null) {
    this.#inner.listener = listener;
  }

  get isAtEnd(): boolean {
    return this.#inner.isAtEnd;
  }

  write(data: Uint8Array, done: () => void): void {
    this.#inner.write(data, done);
  }

  end(done: () => void): void {
    this.#isEnded = true;
    this.#inner.end(() => {
      this.#isFinished = true;
      done();
      if (this.#isParting) this.#awaitPeer();
    });
  }

  /** What it was given before it was closed still goes out. */
  get released(): Promise<void> | undefined {
    return this.#inner.released;
  }

  get piecesArrived(): number | undefined {
    return this.#inner.piecesArrived;
  }

  read(): Uint8Array | undefined {
    return this.#inner.read();
  }

  /** The next `close` is a reset. */
  reset(): void {
    this.#wantsReset = true;
  }

  close(error: Error | null): void {
    if (this.#wantsReset || this.#isOver || this.#hasMore()) {
      this.#close(error);
      return;
    }
    this.#inner.listener = {
      onReadable: () => this.#look(),
      onClosed: () => this.#close(null),
      onReset: () => this.#close(null),
    };
    this.#isParting = true;
    this.#hold = new ProcessHold();
    if (this.#isFinished) this.#awaitPeer();
    else this.#awaitArrival();
    if (!this.#isEnded) this.end(() => {});
  }

  /** The peer does not have all yet. */
  #awaitArrival(): void {
    const before = this.#inner.piecesArrived;
    this.#timer = setTimeout(() => {
      if (this.#inner.piecesArrived === before) this.#close(null);
      else this.#awaitArrival();
    }, STALL_MILLIS).unref();
  }

  /** The peer has all, and what remains is its end. */
  #awaitPeer(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#close(null), PARTING_MILLIS).unref();
    this.#look();
  }

  /** Bytes that nobody will read: their sender must hear of it. */
  #hasMore(): boolean {
    return this.#inner.read() !== undefined;
  }

  get #isOver(): boolean {
    return this.#isFinished && this.#inner.isAtEnd;
  }

  #look(): void {
    if (this.#isClosed) return;
    if (this.#hasMore() || this.#isOver) this.#close(null);
  }

  #close(error: Error | null): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#hold?.end();
    this.#inner.listener = null;
    this.#inner.close(this.#endingWith(error));
    this.#stream.release();
  }

  /** Only an error says below that an end that was begun in order is a reset after all. */
  #endingWith(error: Error | null): Error | null {
    if (this.#isOver) return null;
    return this.#wantsReset ? (error ?? resetByProgram()) : error;
  }
}

const resetByProgram = (): RdmaError => new RdmaError('ERR_RDMA_ABORTED', 'the program has reset the socket');
