/**
 * Room in the send buffer. Each fragment takes as much as it has bytes, in one piece, and fragments give it back in the order in which
 * they took it. So small ones take little of it, and large ones find room without a place for each of them.
 */
import { Deque } from '../common/deque.js';

export class SendRing {
  /** Of the buffer. */
  readonly bytes: number;
  /** Bytes that each fragment has taken, with those that were left out before it at the end of the buffer. */
  readonly #taken = new Deque<number>();
  #next = 0;
  #used = 0;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Fragments that have room. */
  get fragments(): number {
    return this.#taken.length;
  }

  /** Whether less than half of the room is taken. */
  get isRoomy(): boolean {
    return 2 * this.#used < this.bytes;
  }

  /** Where `bytes` have room in one piece; -1: nowhere now. */
  placeFor(bytes: number): number {
    if (this.#used === 0) this.#next = 0;
    const isSplit = this.#next + bytes > this.bytes;
    const needed = isSplit ? this.bytes - this.#next + bytes : bytes;
    if (this.#used + needed > this.bytes) return -1;
    return isSplit ? 0 : this.#next;
  }

  /** Takes `bytes` at `place`, which `placeFor` has told just now for as many or more. */
  take(place: number, bytes: number): void {
    const skipped = place === this.#next ? 0 : this.bytes - this.#next;
    this.#taken.push(skipped + bytes);
    this.#used += skipped + bytes;
    this.#next = place + bytes;
  }

  /** The oldest fragment needs its room no longer. */
  giveBack(): void {
    this.#used -= this.#taken.shift() ?? 0;
  }

  clear(): void {
    this.#taken.takeAll();
    this.#used = 0;
  }
}
