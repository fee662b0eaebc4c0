/**
 * The peer's direction of a stream: bytes that wait for the program. The peer may send up to a limit, which moves on as the
 * program reads.
 *
 * Bytes may be taken out before the program reads them, so that they wait elsewhere: they count until it has.
 *
 * Invariant: never more bytes than the window wait.
 */

import { serialAdd, serialDistance } from '../common/serial-number.js';
import { MessageFault, violation } from '../fragments/message-header.js';
import { ByteQueue } from './byte-queue.js';

export class IncomingStream {
  readonly #windowBytes: number;
  readonly #bytes = new ByteQueue();
  #received: number;
  #told: number;
  #unreadBytes = 0;
  #hasEnded = false;
  #isDropped = false;

  constructor(windowBytes: number, start: number) {
    this.#windowBytes = windowBytes;
    this.#received = start;
    this.#told = serialAdd(start, windowBytes);
  }

  /** The peer has sent its last byte, or a reset. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Nothing more is to be read. */
  get isOver(): boolean {
    return this.#hasEnded && this.#unreadBytes === 0;
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** `isOwn`: nobody else uses the memory of `bytes`. @throws RdmaError ERR_RDMA_PROTOCOL. */
  append(offset: number, bytes: Uint8Array, isLast: boolean, isOwn = false): void {
    if (this.#hasEnded) throw violation(MessageFault.AFTER_END, 'it sent bytes after the end of a stream');
    if (offset !== this.#received)
      throw violation(MessageFault.WRONG_OFFSET, 'the bytes of a stream do not follow each other');
    if (bytes.length > serialDistance(this.#received, this.#told))
      throw violation(MessageFault.BEYOND_STREAM_LIMIT, 'it sent more on a stream than it may');
    this.#received = serialAdd(this.#received, bytes.length);
    if (isLast) this.#hasEnded = true;
    if (this.#isDropped || bytes.length === 0) return;
    this.#unreadBytes += bytes.length;
    if (isOwn) this.#bytes.push(bytes);
    else this.#bytes.copy(bytes);
  }

  /** Whether bytes can be taken. */
  get hasBytes(): boolean {
    return this.#bytes.length > 0;
  }

  /** The oldest bytes that wait here; `undefined` when there are none. They are the caller's. */
  take(): Uint8Array | undefined {
    return this.#bytes.shift();
  }

  /** The program has read so many of the bytes that were taken. */
  consume(length: number): void {
    if (!this.#isDropped) this.#unreadBytes -= Math.min(length, this.#unreadBytes);
  }

  /** Whether so much was read that the peer should be told. */
  get isLimitDue(): boolean {
    if (this.#hasEnded || this.#isDropped) return false;
    return serialDistance(this.#told, this.#limit) * 2 >= this.#windowBytes;
  }

  /** What the peer is told when its limit leaves. */
  tellLimit(): number {
    this.#told = this.#limit;
    return this.#told;
  }

  /** Nobody reads any more: what waits and what comes is thrown away. */
  drop(): void {
    this.#isDropped = true;
    this.#unreadBytes = 0;
    this.#bytes.clear();
  }

  /** The peer has reset the stream. */
  end(): void {
    this.#hasEnded = true;
  }

  get #limit(): number {
    return serialAdd(this.#received, this.#windowBytes - this.#unreadBytes);
  }
}
