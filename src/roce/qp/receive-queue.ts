/**
 * Posted receives in order: the receive queue of one queue pair, or a shared receive queue of several. A message
 * takes a receive out of the queue when it begins (`takeInto`), so that several queue pairs can be in the middle of
 * messages from one shared queue.
 *
 * The ring has as many places as were needed at once: of thousands of queues few are ever full.
 */
import { invariant } from '../../verbs/invariant.js';
import { lengthened, SgeTable } from './sge-table.js';

/** The receive that a message in progress fills. One a queue pair. */
export class CurrentReceive {
  readonly sges: SgeTable;
  wrId = 0;
  /** Bytes that fit. */
  capacity = 0;
  active = false;

  constructor(maxSge: number) {
    this.sges = new SgeTable(1, maxSge);
  }

  release(): void {
    this.active = false;
    this.sges.clear(0);
  }
}

/** Places of a queue that nobody has used. */
const FIRST_PLACES = 4;

export class ReceiveQueue {
  readonly maxWr: number;
  readonly sges: SgeTable;
  /** A ring of as many places as were needed at once. */
  #wrIds: number[];
  #head = 0;
  #count = 0;

  constructor(maxWr: number, maxSge: number) {
    this.maxWr = maxWr;
    const places = Math.min(FIRST_PLACES, maxWr);
    this.sges = new SgeTable(places, maxSge);
    this.#wrIds = new Array<number>(places).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.maxWr;
  }

  /** Takes the next free slot for `wrId` and returns it; the caller adds the pieces. Not to be called when full. */
  push(wrId: number): number {
    INVARIANT: invariant(this.#count < this.maxWr, 'only a receive queue with room takes another receive');
    if (this.#count === this.#wrIds.length) this.#grow();
    const places = this.#wrIds.length;
    const end = this.#head + this.#count;
    const slot = end < places ? end : end - places;
    this.#count++;
    this.#wrIds[slot] = wrId;
    this.sges.clear(slot);
    return slot;
  }

  /** Moves the oldest receive into `current`; `false` when there is none. */
  takeInto(current: CurrentReceive): boolean {
    if (this.#count === 0) return false;
    INVARIANT: invariant(!current.active, 'a message fills one receive at a time');
    current.wrId = this.#wrIds[this.#head] as number;
    current.capacity = this.sges.moveTo(current.sges, 0, this.#head);
    current.active = true;
    this.#advance();
    return true;
  }

  /** Removes the oldest receive and returns its wrId; not to be called when empty. */
  shift(): number {
    const wrId = this.#wrIds[this.#head] as number;
    this.#drop();
    return wrId;
  }

  clear(): void {
    while (this.#count > 0) this.#drop();
  }

  #drop(): void {
    this.sges.clear(this.#head);
    this.#advance();
  }

  #advance(): void {
    INVARIANT: invariant(this.#count > 0, 'a receive leaves its queue once');
    this.#head = this.#head + 1 === this.#wrIds.length ? 0 : this.#head + 1;
    this.#count--;
  }

  /** Half as many places more, or as many as there may be. What stood before the head goes on behind the end of before. */
  #grow(): void {
    const places = this.#wrIds.length;
    const grown = Math.min(places + Math.max(1, places >> 1), this.maxWr);
    this.#wrIds = lengthened(this.#wrIds, grown, 0);
    this.sges.grow(grown);
    for (let place = 0; place < this.#head; place++) {
      const to = places + place < grown ? places + place : places + place - grown;
      this.#wrIds[to] = this.#wrIds[place] as number;
      this.sges.moveTo(this.sges, to, place);
    }
  }
}
