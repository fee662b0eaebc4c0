/**
 * Our direction of a stream: bytes that wait to be sent or for the peer to have them, within the limit that the peer told. A
 * fragment takes as many of them as it has room for, of however many writes.
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
}

export class OutgoingStream implements FragmentSource {
  isQueued = false;
  /** Bytes that the peer takes, modulo 2^32. */
  limit: number;
  readonly #stream: number;
  readonly #flags: number;
  readonly #onOver: () => void;
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
    return !this.#isReset && (this.#waitingBytes > 0 || (this.#end !== null && !this.#finWasCut));
  }

  get isReady(): boolean {
    if (!this.hasUnsent) return false;
    return this.#waitingBytes === 0 || this.#room() > 0;
  }

  get nextBytes(): number {
    return Math.min(this.#waitingBytes, this.#room());
  }

  write(data: Uint8Array, done: SendDone): void {
    this.#pieces.push({ data, done });
    this.#waitingBytes += data.length;
  }

  end(done: SendDone): void {
    this.#end = done;
  }

  take(cut: Cut, maxBytes: number): void {
    const length = Math.min(maxBytes, this.#waitingBytes, this.#room());
    const hasFin = this.#end !== null && length === this.#waitingBytes;
    if (hasFin) this.#finWasCut = true;
    const flags = this.#flags | (hasFin ? MessageFlag.FIN : 0);
    cut.describe(MessageKind.STREAM, this.#stream, flags, 0, this.#sent);
    this.#fill(cut, length);
    this.#waitingBytes -= length;
    this.#sent = serialAdd(this.#sent, length);
  }

  arrived(cut: Cut): void {
    const hasFin = (cut.flags & MessageFlag.FIN) !== 0;
    this.#arrivedBytes += cut.length;
    for (let piece = this.#pieces.at(0); piece !== undefined; piece = this.#pieces.at(0)) {
      if (this.#arrivedBytes < piece.data.length) break;
      this.#arrivedBytes -= piece.data.length;
      this.#pieces.shift();
      this.#cutPieces--;
      piece.done(undefined);
    }
    if (!hasFin || this.#isReset) return;
    this.#isOver = true;
    this.#end?.(undefined);
    this.#onOver();
  }

  rewind(cut: Cut): void {
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

  /** Ends all that waits with `error`. What must still be said, a RESET says. */
  reset(error: RdmaError): void {
    this.#isReset = true;
    this.#waitingBytes = 0;
    const pieces = this.#pieces.takeAll();
    this.#cutPieces = 0;
    this.#cutBytes = 0;
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

  /** Puts the next bytes that wait into `cut`. */
  #fill(cut: Cut, length: number): void {
    for (let left = length; left > 0; ) {
      const { data } = this.#pieceAt(this.#cutPieces);
      const part = Math.min(left, data.length - this.#cutBytes);
      cut.put(data, this.#cutBytes, part);
      left -= part;
      this.#cutBytes += part;
      if (this.#cutBytes < data.length) return;
      this.#cutBytes = 0;
      this.#cutPieces++;
    }
  }

  #pieceAt(index: number): Piece {
    return this.#pieces.at(index) as Piece;
  }

  #room(): number {
    return serialDistance(this.#sent, this.limit);
  }
}
