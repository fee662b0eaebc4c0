/**
 * Our direction of a stream: bytes that wait to be sent or for the peer to have them, within the limit that the peer told.
 *
 * Invariant: it ends once, by FIN or by a reset; every write is done once.
 */
import type { RdmaError } from '../verbs/errors.js';
import { Deque } from './deque.js';
import { MessageFlag, MessageKind } from './message-header.js';
import type { SendDone } from './message-queue.js';
import type { Cut, FragmentSource } from './outbox.js';
import { serialAdd, serialDistance } from './serial-number.js';

/** What `write` was given. */
interface Piece {
  readonly data: Uint8Array;
  readonly done: SendDone;
  sentBytes: number;
}

export class OutgoingStream implements FragmentSource {
  isQueued = false;
  /** Bytes that the peer takes, modulo 2^32. */
  limit: number;
  readonly #stream: number;
  readonly #flags: number;
  readonly #onOver: () => void;
  /** Pieces of which not all was cut, and those that are cut and have not arrived. */
  readonly #waiting = new Deque<Piece>();
  readonly #cut = new Deque<Piece>();
  #sent: number;
  #waitingBytes = 0;
  #end: SendDone | null = null;
  #finWasCut = false;
  #isReset = false;
  #isOver = false;

  /** `onOver`: the peer has all of it, with the end. */
  constructor(stream: number, isPeers: boolean, limit: number, start: number, onOver: () => void) {
    this.#stream = stream;
    this.#flags = isPeers ? MessageFlag.YOURS : 0;
    this.limit = limit;
    this.#sent = start;
    this.#onOver = onOver;
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
    return !this.#isReset && (this.#waiting.length > 0 || (this.#end !== null && !this.#finWasCut));
  }

  get isReady(): boolean {
    if (!this.hasUnsent) return false;
    return this.#waiting.length === 0 || this.#room() > 0;
  }

  write(data: Uint8Array, done: SendDone): void {
    this.#waiting.push({ data, done, sentBytes: 0 });
    this.#waitingBytes += data.length;
  }

  end(done: SendDone): void {
    this.#end = done;
  }

  take(cut: Cut, maxBytes: number): void {
    const piece = this.#waiting.at(0);
    const offset = piece?.sentBytes ?? 0;
    const length = piece === undefined ? 0 : Math.min(maxBytes, piece.data.length - offset, this.#room());
    const isLastOfPiece = piece !== undefined && offset + length === piece.data.length;
    const isLast = piece === undefined || (isLastOfPiece && this.#waiting.length === 1);
    const hasFin = this.#end !== null && isLast;
    const flags = this.#flags | (hasFin ? MessageFlag.FIN : 0);
    cut.describe(MessageKind.STREAM, this.#stream, flags, 0, this.#sent);
    cut.from = piece ?? null;
    if (hasFin) this.#finWasCut = true;
    if (piece === undefined) return;
    cut.carry(piece.data, offset, length);
    piece.sentBytes += length;
    this.#waitingBytes -= length;
    this.#sent = serialAdd(this.#sent, length);
    if (!isLastOfPiece) return;
    this.#waiting.shift();
    this.#cut.push(piece);
  }

  arrived(cut: Cut): void {
    const piece = cut.from as Piece | null;
    const hasFin = (cut.flags & MessageFlag.FIN) !== 0;
    if (piece !== null && this.#cut.at(0) === piece && cut.offset + cut.length === piece.data.length) {
      this.#cut.shift();
      piece.done(undefined);
    }
    if (!hasFin || this.#isReset) return;
    this.#isOver = true;
    this.#end?.(undefined);
    this.#onOver();
  }

  rewind(cut: Cut): void {
    if (this.#isReset) return;
    const piece = cut.from as Piece | null;
    if ((cut.flags & MessageFlag.FIN) !== 0) this.#finWasCut = false;
    if (piece === null) return;
    if (piece.sentBytes === piece.data.length) {
      this.#cut.pop();
      this.#waiting.unshift(piece);
    }
    piece.sentBytes = cut.offset;
    this.#waitingBytes += cut.length;
    this.#sent = serialAdd(this.#sent, -cut.length);
  }

  /** Ends all that waits with `error`. What must still be said, a RESET says. */
  reset(error: RdmaError): void {
    this.#isReset = true;
    this.#waitingBytes = 0;
    const pieces = [...this.#cut.takeAll(), ...this.#waiting.takeAll()];
    for (const { done } of pieces) done(error);
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

  #room(): number {
    return serialDistance(this.#sent, this.limit);
  }
}
