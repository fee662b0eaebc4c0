/**
 * One stream of a connection as a byte channel. What its data plane tells, comes while fragments are taken in or sent; the
 * program is told in a tick of its own, where it may throw, write, and end streams.
 *
 * What a program writes is copied and done at once, as far as few bytes wait, or two writes in a row would take a round trip;
 * so are sockets of the operating system. Large chunks are not copied: they are done when the peer has them, or, where the stream is
 * reset, when the device has sent what it had of them.
 *
 * Invariants: writes are done in their order; a chunk is not touched after that; when the connection has ended, nothing is
 * asked of the data plane any more, but that bytes were read. A stream that the peer has ended and reset counts as open until its
 * program is done with it: else a peer could have this side keep the bytes of any number of streams.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { Deque } from '../common/deque.js';
import { weigh } from '../common/young-weight.js';
import type { ByteChannel, ByteChannelListener } from './byte-channel.js';
import { ByteQueue } from './byte-queue.js';
import { ResetCode } from './reset-codes.js';
import type { StreamPlane } from './stream-outlet.js';
import type { StreamId } from './stream-table.js';

/** Longer chunks leave from the program's own memory. */
const LONGEST_COPIED_BYTES = 64 * 1024;
/** Copies that are shorter are not used again. */
const SHORTEST_SPARE_BYTES = 16 * 1024;
/** Bytes of copies that the peer does not have. */
const MOST_COPIED_BYTES = 512 * 1024;

const NO_SPARE = new WeakRef<Buffer[]>([]);

export interface StreamChannelOptions {
  readonly id: StreamId;
  readonly plane: StreamPlane;
  /** Nothing more is asked of the data plane for this stream. */
  readonly onOver: () => void;
  /** All was given that was owed. */
  readonly onSettled: () => void;
}

interface Owed {
  bytes: number;
  end: boolean;
}

interface Held {
  readonly data: Uint8Array;
  readonly done: () => void;
}

export class StreamChannel implements ByteChannel {
  #listener: ByteChannelListener | null = null;
  readonly #options: StreamChannelOptions;
  readonly #dones = new Deque<() => void>();
  #piecesArrived = 0;
  /** Those of them that may be called. */
  #written = 0;
  #endDone: (() => void) | null = null;
  #hasEndArrived = false;
  #isReadable = false;
  #fault: { readonly error: RdmaError; readonly isReset: boolean } | null = null;
  #isScheduled = false;
  /** The program is done with it, and hears no more. */
  #isGivenUp = false;
  #isOver = false;
  /** Chunks whose memory is the program's, and is still needed. */
  #lent = 0;
  #tellReleased: (() => void) | null = null;
  /** Copies that the peer does not have, and the sum of their lengths. */
  readonly #copies = new Deque<Buffer>();
  #copiedBytes = 0;
  /**
   * Copies that the peer has: their memory is used again, which spares the garbage collector half of its work. A stream that rests
   * does not hold them; they are there until V8 collects garbage.
   */
  #spare: Buffer[] | null = null;
  #restingSpare = NO_SPARE;
  /** Chunks that wait for copies to arrive; the end, if it waits for them. */
  readonly #held = new Deque<Held>();
  #isEndHeld = false;
  /** What came and was not read; whether nothing comes after it. */
  readonly #unread = new ByteQueue();
  #hasEnded = false;
  /** Bytes that were not read when the peer reset the stream. */
  #keptBytes = 0;
  /** Of a connection that is about to end: what its program had written before, and this channel was not given yet. */
  #owed: Owed | null = null;
  #wasSettled = false;

  readonly #onLentBack = (): void => {
    this.#lent--;
    if (this.#lent === 0) this.#tellReleased?.();
  };

  readonly #onWritten = (): void => {
    this.#onLentBack();
    this.#written++;
    this.#piecesArrived++;
    this.#schedule();
  };

  readonly #onCopyWritten = (): void => {
    const copy = this.#copies.shift();
    if (copy === undefined) return;
    this.#copiedBytes -= copy.length;
    this.#piecesArrived++;
    if (copy.length >= SHORTEST_SPARE_BYTES) this.#spares().push(copy);
    if (this.#copiedBytes === 0) this.#rest();
    if (this.#held.length > 0) this.#schedule();
  };

  readonly #onEndArrived = (): void => {
    this.#hasEndArrived = true;
    this.#schedule();
  };

  constructor(options: StreamChannelOptions) {
    this.#options = options;
  }

  get listener(): ByteChannelListener | null {
    return this.#listener;
  }

  /** Whoever comes late hears of a fault all the same. */
  set listener(listener: ByteChannelListener | null) {
    this.#listener = listener;
    if (listener !== null && this.#fault !== null) this.#schedule();
  }

  get piecesArrived(): number {
    return this.#piecesArrived;
  }

  get isAtEnd(): boolean {
    return this.#hasEnded && this.#unread.length === 0;
  }

  write(data: Uint8Array, done: () => void): void {
    if (this.#isOver || !this.#pay(data.length)) return;
    if (data.length === 0) done();
    else {
      this.#lent++;
      if (this.#held.length > 0 || !this.#hasRoom(data)) this.#held.push({ data, done });
      else this.#give(data, done);
    }
    this.#tellSettled();
  }

  end(done: () => void): void {
    if (this.#isOver || this.#owed?.end === false) return;
    if (this.#owed !== null) this.#owed.end = false;
    this.#endDone = done;
    if (this.#held.length > 0) this.#isEndHeld = true;
    else this.#giveEnd();
    this.#tellSettled();
  }

  read(): Uint8Array | undefined {
    const bytes = this.#unread.shift();
    const { id, plane } = this.#options;
    if (bytes !== undefined && !this.#isOver) plane.readStream(id, bytes.length);
    return bytes;
  }

  close(error: Error | null): void {
    this.#resetWith(error === null ? ResetCode.CANCELLED : ResetCode.FAILED);
  }

  get released(): Promise<void> | undefined {
    if (this.#lent === 0) return undefined;
    return new Promise((resolve) => {
      this.#tellReleased = resolve;
    });
  }

  /** Nobody takes the stream that the peer has opened. */
  refuse(): void {
    this.#resetWith(ResetCode.REFUSED);
  }

  /**
   * The connection is about to end in order: nothing more is taken than what is `owed`. Returns whether something is.
   */
  seal(owed: Owed): boolean {
    this.#owed ??= owed;
    this.#wasSettled = this.#isSettled;
    return !this.#wasSettled;
  }

  // --- what the data plane tells ------------------------------------------------------------------------------------

  onBytes(bytes: Uint8Array, isLast: boolean): void {
    if (this.#isOver) return;
    if (bytes.length > 0) this.#unread.push(bytes);
    if (isLast) this.#hasEnded = true;
    this.#isReadable = true;
    this.#schedule();
  }

  /** The peer has reset the stream, or the connection has failed: what was not read is gone. */
  onReset(error: RdmaError): void {
    this.#finish({ error, isReset: true });
  }

  /** The peer has reset the stream after it had ended its direction, which can be read to its end. */
  onResetBehindEnd(error: RdmaError): void {
    if (this.#isOver) return;
    this.#keptBytes = this.#unread.length;
    this.#finish({ error, isReset: false });
  }

  /** Nothing more comes, but what is there can be read. */
  onClosed(error: RdmaError): void {
    this.#finish({ error, isReset: false });
  }

  #finish(fault: { readonly error: RdmaError; readonly isReset: boolean }): void {
    if (this.#isOver) return;
    this.#leave();
    // What was answered before, the end of our direction maybe, is told before it.
    queueMicrotask(() => {
      if (this.#isGivenUp) return;
      this.#fault = fault;
      this.#schedule();
    });
  }

  #resetWith(code: ResetCode): void {
    const { id, plane } = this.#options;
    if (!this.#isOver) plane.resetStream(id, code);
    else if (this.#keptBytes > 0) plane.readStream(id, this.#keptBytes);
    this.#keptBytes = 0;
    this.#isGivenUp = true;
    this.listener = null;
    this.#dones.takeAll();
    this.#dropHeld();
    this.#endDone = null;
    this.#fault = null;
    this.#unread.clear();
    this.#leave();
  }

  #hasRoom({ length }: Uint8Array): boolean {
    if (length > LONGEST_COPIED_BYTES || this.#copiedBytes === 0) return true;
    return this.#copiedBytes + length <= MOST_COPIED_BYTES;
  }

  #give(data: Uint8Array, done: () => void): void {
    const { id, plane } = this.#options;
    if (data.length > LONGEST_COPIED_BYTES) {
      this.#dones.push(done);
      plane.writeStream(id, data).then(this.#onWritten, this.#onLentBack);
      return;
    }
    const copy = this.#copyOf(data);
    this.#copies.push(copy);
    this.#copiedBytes += data.length;
    plane.writeStream(id, copy).then(this.#onCopyWritten, toldElsewhere);
    this.#onLentBack();
    done();
  }

  #copyOf(data: Uint8Array): Buffer {
    const spare = this.#spares().pop();
    const copy =
      spare === undefined || spare.length < data.length
        ? freshCopy(data.length)
        : spare.subarray(0, data.length);
    copy.set(data);
    return copy;
  }

  #spares(): Buffer[] {
    this.#spare ??= this.#restingSpare.deref() ?? [];
    return this.#spare;
  }

  #rest(): void {
    const spare = this.#spare;
    this.#spare = null;
    if (spare !== null && spare !== this.#restingSpare.deref()) this.#restingSpare = new WeakRef(spare);
  }

  #giveEnd(): void {
    const { id, plane } = this.#options;
    this.#isEndHeld = false;
    plane.endStream(id).then(this.#onEndArrived, toldElsewhere);
  }

  /** Gives what was held, as far as there is room. */
  #giveHeld(): void {
    for (let next = this.#held.at(0); next !== undefined; next = this.#held.at(0)) {
      if (this.#isOver || !this.#hasRoom(next.data)) return;
      this.#held.shift();
      this.#give(next.data, next.done);
    }
    if (this.#isEndHeld && !this.#isOver) this.#giveEnd();
    this.#tellSettled();
  }

  #dropHeld(): void {
    for (let left = this.#held.takeAll().length; left > 0; left--) this.#onLentBack();
  }

  #leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#dropHeld();
    this.#options.onOver();
    if (this.#owed === null || this.#wasSettled) return;
    this.#wasSettled = true;
    this.#options.onSettled();
  }

  get #isSettled(): boolean {
    if (this.#owed === null) return true;
    return this.#owed.bytes === 0 && !this.#owed.end && this.#held.length === 0;
  }

  /** Whether so many bytes may still be given. */
  #pay(bytes: number): boolean {
    const owed = this.#owed;
    if (owed === null) return true;
    if (bytes > owed.bytes) return false;
    owed.bytes -= bytes;
    return true;
  }

  #tellSettled(): void {
    if (this.#owed === null || !this.#isSettled || this.#wasSettled) return;
    this.#wasSettled = true;
    this.#options.onSettled();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(tell, this);
  }

  /** Tells the program what has happened. It may throw, and hears the rest all the same. */
  tell(): void {
    this.#isScheduled = false;
    try {
      while (this.#written > 0) {
        this.#written--;
        this.#dones.shift()?.();
      }
      this.#giveHeld();
      if (this.#hasEndArrived) this.#tellEndArrived();
      if (this.#isReadable) {
        this.#isReadable = false;
        this.listener?.onReadable();
      }
      if (this.#fault !== null && this.#listener !== null) this.#tellFault(this.#fault);
    } finally {
      const hasFault = this.#fault !== null && this.#listener !== null;
      if (this.#written > 0 || this.#hasEndArrived || this.#isReadable || hasFault) this.#schedule();
    }
  }

  #tellEndArrived(): void {
    this.#hasEndArrived = false;
    const done = this.#endDone;
    this.#endDone = null;
    done?.();
  }

  #tellFault({ error, isReset }: { readonly error: RdmaError; readonly isReset: boolean }): void {
    this.#fault = null;
    if (isReset) this.listener?.onReset(error);
    else this.listener?.onClosed(error);
  }
}

function freshCopy(length: number): Buffer {
  weigh(length);
  return Buffer.allocUnsafeSlow(length);
}

/** What becomes of a write that fails, the end of its stream tells. */
const toldElsewhere = (): void => {};

const tell = (channel: StreamChannel): void => channel.tell();
