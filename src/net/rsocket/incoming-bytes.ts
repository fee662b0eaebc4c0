/**
 * The receiving half of an rsocket: a ring of memory in which the peer writes front to back, given out to it in halves, and
 * the credits for its messages. Pure.
 *
 * The peer says how long each message is, and nothing else of what it says counts: bytes are read where the ring has come to.
 * A message counts as consumed when its last byte is read.
 *
 * Invariants: unread bytes are never more than what was announced, nor unread messages than the credits; what the peer
 * may do is a limit that never goes back.
 */
import { invariant } from '../../verbs/invariant.js';
import { RsocketFault } from './rsocket-fault.js';

export class IncomingBytes {
  readonly #ringBytes: number;
  readonly #half: number;
  readonly #credits: number;
  /** Rests of unread messages, in order. */
  readonly #lengths: Uint32Array;
  #front = 0;
  #count = 0;
  #announced: number;
  #received = 0;
  #read = 0;
  /** Messages, all that there ever were. */
  #taken = 0;
  #consumed = 0;
  #consumedWhenTold = 0;
  #limit: number;
  /** Of halves; the first was in the private data. */
  #announcements = 0;

  constructor(ringBytes: number, credits: number) {
    this.#ringBytes = ringBytes;
    this.#half = ringBytes / 2;
    this.#credits = credits;
    this.#lengths = new Uint32Array(credits);
    this.#announced = this.#half;
    this.#limit = credits;
  }

  /** The peer has written so many bytes at the next place. */
  take(bytes: number): RsocketFault | undefined {
    if (bytes === 0) return RsocketFault.EMPTY_DATA;
    if (this.#taken === this.#limit) return RsocketFault.NO_CREDIT;
    if (this.#received + bytes > this.#announced) return RsocketFault.BEYOND_HALF;
    if ((this.#received % this.#half) + bytes > this.#half) return RsocketFault.BEYOND_HALF;
    INVARIANT: invariant(this.#count < this.#credits, 'there are no more unread messages than credits');
    this.#lengths[(this.#front + this.#count) % this.#credits] = bytes;
    this.#count += 1;
    this.#taken += 1;
    this.#received += bytes;
    INVARIANT: this.#check();
    return undefined;
  }

  /** A message without data that takes a credit, and gives it back at once. */
  takeEmpty(): RsocketFault | undefined {
    if (this.#taken === this.#limit) return RsocketFault.NO_CREDIT;
    this.#taken += 1;
    this.#consumed += 1;
    return undefined;
  }

  get unread(): number {
    return this.#received - this.#read;
  }

  /** Where in the ring the unread bytes begin. */
  get frontOffset(): number {
    return this.#read % this.#ringBytes;
  }

  /** Unread bytes that lie one after the other. */
  get frontBytes(): number {
    return Math.min(this.unread, this.#ringBytes - this.frontOffset);
  }

  /** The program has these bytes. */
  consume(bytes: number): void {
    INVARIANT: invariant(bytes <= this.unread, 'what is consumed has arrived');
    this.#read += bytes;
    let rest = bytes;
    while (rest > 0) {
      const length = this.#lengths[this.#front] as number;
      if (length > rest) {
        this.#lengths[this.#front] = length - rest;
        break;
      }
      rest -= length;
      this.#front = (this.#front + 1) % this.#credits;
      this.#count -= 1;
      this.#consumed += 1;
    }
    INVARIANT: this.#check();
  }

  /** Whether a half of the ring is free that the peer does not know of. */
  get isHalfFree(): boolean {
    return this.#ringBytes - (this.#announced - this.#read) >= this.#half;
  }

  /** Whether the peer should hear of a new limit, even where no half is free. */
  get areCreditsDue(): boolean {
    return this.#consumed - this.#consumedWhenTold >= this.#credits / 2;
  }

  /** Offset of the half that is announced next. */
  get halfOffset(): number {
    return ((this.#announcements + 1) % 2) * this.#half;
  }

  get halfBytes(): number {
    return this.#half;
  }

  /** Counted from 0; the first announcement goes to entry 1 of the peer's table. */
  get announcements(): number {
    return this.#announcements;
  }

  announce(): void {
    INVARIANT: invariant(this.isHalfFree, 'only a free half is announced');
    this.#announcements += 1;
    this.#announced += this.#half;
  }

  /** The limit to tell: messages that the peer may have sent in all, modulo 2^16. */
  tellLimit(): number {
    this.#limit = this.#consumed + this.#credits;
    this.#consumedWhenTold = this.#consumed;
    return this.#limit & 0xffff;
  }

  /** Runs with the checks only. */
  #check(): void {
    INVARIANT: invariant(this.#received <= this.#announced, 'what has arrived was announced');
    INVARIANT: invariant(this.#announced - this.#read <= this.#ringBytes, 'no half in use is announced');
    INVARIANT: invariant(this.#taken <= this.#limit, 'every message had a credit');
    INVARIANT: invariant(this.#taken - this.#consumed === this.#count, 'each unread message is known');
    INVARIANT: invariant(this.#count > 0 === this.unread > 0, 'unread bytes belong to messages');
  }
}
