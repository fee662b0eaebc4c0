/**
 * The sending half of an rsocket: a ring of memory from which messages leave, the buffer of the peer that they go to, and the
 * peer's limit of messages. Pure.
 *
 * Invariants: a message lies in one piece here and inside one buffer there; a buffer is used to its end before the next; no
 * message leaves above the limit; what may be written anew is only what the peer has acknowledged.
 */
import { invariant } from '../../verbs/invariant.js';
import { RsocketFault } from './rsocket-fault.js';
import type { SglEntry } from './wire/sgl-entry.js';
import { isAddressRange } from './wire/wide-number.js';

export class OutgoingBytes {
  readonly #ringBytes: number;
  readonly #maxMessage: number;
  /** All that there ever were: queued by the program, posted, acknowledged. */
  #queued = 0;
  #posted = 0;
  #acknowledged = 0;
  /** The buffer in use: its next place, and how much of it is left. */
  #addr: number;
  #rkey: number;
  #left: number;
  /** The buffer that follows; no bytes = none. */
  readonly #next: SglEntry = { addr: 0, rkey: 0, bytes: 0 };
  /** Modulo 2^16. */
  #sent = 0;
  #limit: number;

  constructor(ringBytes: number, maxMessage: number, first: SglEntry, limit: number) {
    this.#ringBytes = ringBytes;
    this.#maxMessage = maxMessage;
    this.#addr = first.addr;
    this.#rkey = first.rkey;
    this.#left = first.bytes;
    this.#limit = limit;
  }

  /** A buffer that the peer has announced. */
  announced({ addr, rkey, bytes }: SglEntry): RsocketFault | undefined {
    if (bytes === 0) return RsocketFault.EMPTY_BUFFER;
    if (!isAddressRange(addr, bytes)) return RsocketFault.BUFFER_OUT_OF_RANGE;
    if (this.#next.bytes > 0) return RsocketFault.EARLY_ANNOUNCEMENT;
    this.#next.addr = addr;
    this.#next.rkey = rkey;
    this.#next.bytes = bytes;
    if (this.#left === 0) this.#useNext();
    return undefined;
  }

  /** The peer takes so many messages in all, modulo 2^16. */
  set limit(value: number) {
    this.#limit = value;
  }

  /** Bytes that the program may queue. */
  get room(): number {
    return this.#ringBytes - (this.#queued - this.#acknowledged);
  }

  /** Where in the ring they go. */
  get tailOffset(): number {
    return this.#queued % this.#ringBytes;
  }

  /** Those of them that go one after the other. */
  get tailBytes(): number {
    return Math.min(this.room, this.#ringBytes - this.tailOffset);
  }

  /** The program has put these bytes into the ring. */
  queue(bytes: number): void {
    INVARIANT: invariant(bytes <= this.tailBytes, 'what is queued has room in one piece');
    this.#queued += bytes;
  }

  /** Bytes that are not posted. */
  get waiting(): number {
    return this.#queued - this.#posted;
  }

  get unacknowledged(): number {
    return this.#queued - this.#acknowledged;
  }

  get hasCredit(): boolean {
    return this.#sent !== this.#limit;
  }

  /** Bytes of the next message; 0 where none may leave. */
  get nextBytes(): number {
    if (!this.hasCredit) return 0;
    const inOnePiece = this.#ringBytes - this.frontOffset;
    return Math.min(this.waiting, inOnePiece, this.#left, this.#maxMessage);
  }

  /** Where the next message lies here. */
  get frontOffset(): number {
    return this.#posted % this.#ringBytes;
  }

  /** Where the next message goes. */
  get addr(): number {
    return this.#addr;
  }

  get rkey(): number {
    return this.#rkey;
  }

  /** The next message is posted. */
  post(bytes: number): void {
    INVARIANT: invariant(bytes > 0 && bytes <= this.nextBytes, 'a message is no longer than it may be');
    this.#posted += bytes;
    this.#addr += bytes;
    this.#left -= bytes;
    if (this.#left === 0 && this.#next.bytes > 0) this.#useNext();
    this.takeCredit();
  }

  /** For a message without data that takes a credit as well. */
  takeCredit(): void {
    INVARIANT: invariant(this.hasCredit, 'no message leaves above the limit');
    this.#sent = (this.#sent + 1) & 0xffff;
  }

  /** The peer has these bytes. */
  acknowledge(bytes: number): void {
    this.#acknowledged += bytes;
    INVARIANT: invariant(this.#acknowledged <= this.#posted, 'only what was posted is acknowledged');
    INVARIANT: invariant(this.room <= this.#ringBytes, 'the ring is no larger than it is');
  }

  #useNext(): void {
    this.#addr = this.#next.addr;
    this.#rkey = this.#next.rkey;
    this.#left = this.#next.bytes;
    this.#next.bytes = 0;
  }
}
