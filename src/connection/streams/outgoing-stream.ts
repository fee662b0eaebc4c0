/**
 * Our direction of a stream: bytes that wait to be sent or for the peer to have them, within the limit that the peer told. A
 * fragment takes as many of them as it has room for, of however many writes; or it refers to bytes of one write, which leave
 * from their own memory.
 *
 * Invariants: it ends once, by FIN or by a reset; every write is done once, and not while the device reads its memory.
 */
import type { RdmaError } from '../../verbs/errors.js';
import { Deque } from '../common/deque.js';
import { serialAdd, serialDistance } from '../common/serial-number.js';
import { MessageFlag, MessageKind } from '../fragments/message-header.js';
import type { SendDone } from '../fragments/message-queue.js';
import type { Cut, FragmentSource } from '../fragments/outbox.js';
import type { ChunkMemory, Place } from './stream-memory.js';

/** What `write` was given. */
interface Piece {
  readonly data: Uint8Array;
  readonly done: SendDone;
  /** Where it leaves from; `null`: it is copied; `undefined`: that is being found out. */
  place: Place | null | undefined;
  /** Fragments under way that leave from its own memory. */
  underWay: number;
  /** Why it ends, as soon as none of them is. */
  failure: RdmaError | undefined;
  isDone: boolean;
}

export interface OutgoingStreamOptions {
  readonly stream: number;
  readonly isPeers: boolean;
  /** Bytes that the peer takes at first, and where their counting begins, modulo 2^32. */
  readonly limit: number;
  readonly start: number;
  /** The peer has all of it, with the end. */
  readonly onOver: () => void;
  /** It may be ready, though nobody has called. */
  readonly onReady: () => void;
  /** Where pieces can leave from; `null`: all are copied. */
  readonly memory: ChunkMemory | null;
}

export class OutgoingStream implements FragmentSource {
  isQueued = false;
  /** Bytes that the peer takes, modulo 2^32. */
  limit: number;
  readonly #stream: number;
  readonly #flags: number;
  readonly #onOver: () => void;
  readonly #onReady: () => void;
  readonly #memory: ChunkMemory | null;
  /** Pieces of which not all has arrived. */
  readonly #pieces = new Deque<Piece>();
  /** Bytes of the first one that have arrived. */
  #arrivedBytes = 0;
  /** Pieces of which all was cut, and bytes that were cut of the one behind them. */
  #cutPieces = 0;
  #cutBytes = 0;
  #sent: number;
  #waitingBytes = 0;
  #end: SendDone | null = null;
  #finWasCut = false;
  #isReset = false;
  #isOver = false;

  constructor({ stream, isPeers, limit, start, onOver, onReady, memory }: OutgoingStreamOptions) {
    this.#stream = stream;
    this.#flags = isPeers ? MessageFlag.YOURS : 0;
    this.limit = limit;
    this.#sent = start;
    this.#onOver = onOver;
    this.#onReady = onReady;
    this.#memory = memory;
  }

  /** Nothing can be written any more. */
  get hasEnded(): boolean {
    return this.#end !== null || this.#isReset;
  }

  /** The peer has all of it, with the end. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes that have not left. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get hasUnsent(): boolean {
    return !this.#isReset && (this.#waitingBytes > 0 || (this.#end !== null && !this.#finWasCut));
  }

  get isReady(): boolean {
    if (!this.hasUnsent) return false;
    return this.#waitingBytes === 0 || (this.#room() > 0 && this.#next?.place !== undefined);
  }

  get nextBytes(): number {
    const { isNextInPlace } = this;
    const waitingBytes = isNextInPlace ? this.#nextRest : this.#waitingBytes;
    return Math.min(waitingBytes, this.#room());
  }

  get isNextInPlace(): boolean {
    const place = this.#next?.place;
    return place !== undefined && place !== null && !place.mr.closed;
  }

  write(data: Uint8Array, done: SendDone): void {
    const found = this.#memory?.placeOf(data) ?? null;
    const place = found instanceof Promise ? undefined : found;
    const piece = { data, done, place, underWay: 0, failure: undefined, isDone: false };
    this.#pieces.push(piece);
    this.#waitingBytes += data.length;
    if (found instanceof Promise) void this.#learn(piece, found);
  }

  end(done: SendDone): void {
    this.#end = done;
  }

  take(cut: Cut, maxBytes: number): void {
    cut.describe(MessageKind.STREAM, this.#stream, this.#flags, 0, this.#sent);
    if (cut.isInPlace) this.#refer(cut, Math.min(maxBytes, this.nextBytes));
    else this.#fill(cut, Math.min(maxBytes, this.#waitingBytes, this.#room()));
    this.#waitingBytes -= cut.length;
    this.#sent = serialAdd(this.#sent, cut.length);
    if (this.#end === null || this.#waitingBytes > 0) return;
    this.#finWasCut = true;
    cut.flags |= MessageFlag.FIN;
  }

  arrived(cut: Cut): void {
    const hasFin = (cut.flags & MessageFlag.FIN) !== 0;
    this.released(cut);
    this.#arrivedBytes += cut.length;
    for (let piece = this.#pieces.at(0); piece !== undefined; piece = this.#pieces.at(0)) {
      if (this.#arrivedBytes < piece.data.length) break;
      this.#arrivedBytes -= piece.data.length;
      this.#pieces.shift();
      this.#cutPieces--;
      this.#finish(piece, undefined);
    }
    if (!hasFin || this.#isReset) return;
    this.#isOver = true;
    this.#end?.(undefined);
    this.#onOver();
  }

  rewind(cut: Cut): void {
    this.released(cut);
    if (this.#isReset) return;
    if ((cut.flags & MessageFlag.FIN) !== 0) this.#finWasCut = false;
    for (let left = cut.length; left > 0; ) {
      if (this.#cutBytes === 0) this.#cutBytes = this.#pieceAt(--this.#cutPieces).data.length;
      const part = Math.min(left, this.#cutBytes);
      this.#cutBytes -= part;
      left -= part;
    }
    this.#waitingBytes += cut.length;
    this.#sent = serialAdd(this.#sent, -cut.length);
  }

  released(cut: Cut): void {
    if (cut.mr === null) return;
    cut.mr = null;
    const piece = cut.from as Piece;
    piece.underWay--;
    if (piece.underWay === 0 && piece.failure !== undefined) this.#finish(piece, piece.failure);
  }

  /** Ends all that waits with `error`. What must still be said, a RESET says. */
  reset(error: RdmaError): void {
    this.#isReset = true;
    this.#waitingBytes = 0;
    const pieces = this.#pieces.takeAll();
    this.#cutPieces = 0;
    this.#cutBytes = 0;
    // Memory that the device still reads is the program's again when that is over.
    for (const piece of pieces) {
      piece.failure = error;
      if (piece.underWay === 0) this.#finish(piece, error);
    }
    const end = this.#end;
    // A reset and the end of the connection may both come here.
    this.#end = null;
    if (!this.#isOver) end?.(error);
  }

  /** The peer has our RESET. */
  resetArrived(): void {
    this.#isOver = true;
    this.#onOver();
  }

  async #learn(piece: Piece, finding: Promise<Place | null>): Promise<void> {
    const place = await finding;
    if (piece.isDone && place !== null) this.#memory?.release(place);
    piece.place = place;
    this.#onReady();
  }

  #finish(piece: Piece, error: RdmaError | undefined): void {
    const { place, done } = piece;
    piece.isDone = true;
    if (place !== undefined && place !== null) this.#memory?.release(place);
    done(error);
  }

  /** Refers `cut` to the next bytes, which are those of one piece. */
  #refer(cut: Cut, length: number): void {
    const piece = this.#next as Piece;
    const { mr, at } = piece.place as Place;
    cut.refer(mr, at + this.#cutBytes, length);
    cut.from = piece;
    piece.underWay++;
    this.#pass(piece, length);
  }

  /** Copies the next bytes that wait into `cut`, up to a piece that leaves from its own memory. */
  #fill(cut: Cut, length: number): void {
    for (let left = length; left > 0; ) {
      const piece = this.#next as Piece;
      if (left < length && piece.place !== null) return;
      const part = Math.min(left, this.#nextRest);
      cut.put(piece.data, this.#cutBytes, part);
      left -= part;
      this.#pass(piece, part);
    }
  }

  #pass({ data }: Piece, length: number): void {
    this.#cutBytes += length;
    if (this.#cutBytes < data.length) return;
    this.#cutBytes = 0;
    this.#cutPieces++;
  }

  /** The piece that the next byte is of. */
  get #next(): Piece | undefined {
    return this.#pieces.at(this.#cutPieces);
  }

  /** Bytes of it that were not cut. */
  get #nextRest(): number {
    return (this.#next?.data.length ?? 0) - this.#cutBytes;
  }

  #pieceAt(index: number): Piece {
    return this.#pieces.at(index) as Piece;
  }

  #room(): number {
    return serialDistance(this.#sent, this.limit);
  }
}
