/**
 * Posted receives in order: the receive queue of one queue pair, or a shared receive queue of several. A message
 * takes a receive out of the queue when it begins (`takeInto`), so that several queue pairs can be in the middle of
 * messages from one shared queue.
 */
import { invariant } from '../../verbs/invariant.js';
import { SgeTable } from './sge-table.js';

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

export class ReceiveQueue {
  readonly maxWr: number;
  readonly sges: SgeTable;
  readonly #wrIds: Float64Array;
  #head = 0;
  #count = 0;

  constructor(maxWr: number, maxSge: number) {
    this.maxWr = maxWr;
    this.sges = new SgeTable(maxWr, maxSge);
    this.#wrIds = new Float64Array(maxWr);
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
    const end = this.#head + this.#count;
    const slot = end < this.maxWr ? end : end - this.maxWr;
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
    this.#head = this.#head + 1 === this.maxWr ? 0 : this.#head + 1;
    this.#count--;
  }
}
