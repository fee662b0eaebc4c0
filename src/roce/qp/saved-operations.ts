/**
 * READs and atomics that a responder remembers, so that a repeated request can be answered again: a READ by reading
 * memory anew, an atomic by the value that it returned the first time and never by doing it twice. A ring of
 * `max_dest_rd_atomic` places; the oldest is forgotten first.
 */

import { invariant } from '../../verbs/invariant.js';
import type { RemoteGrant } from '../memory/region.js';
import { psnDiff } from '../psn.js';

export class SavedOperation {
  /** The place was used at least once. */
  used = false;
  isAtomic = false;
  /** RC opcode of the request. */
  opcode = 0;
  firstPsn = 0;
  packets = 0;
  msn = 0;
  va = 0;
  length = 0;
  rkey = 0;
  grant: RemoteGrant | null = null;
  originalHigh = 0;
  originalLow = 0;
  /** Answers to it that are still queued. */
  pending = 0;
}

/** Of all to which none was ever sent: nothing is ever put into it. */
const NONE: SavedOperation[] = [];

export class SavedOperations {
  /** Places that were used; there are `#capacity` in all. */
  #ring: SavedOperation[] = NONE;
  #capacity: number;
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Changes the number of places; the newest operations are kept. */
  resize(capacity: number): void {
    const oldestFirst = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    const kept = oldestFirst.filter((operation) => operation.used).slice(-capacity || oldestFirst.length);
    this.#next = kept.length === capacity ? 0 : kept.length;
    INVARIANT: invariant(
      kept.length <= capacity,
      'a responder remembers no more operations than it was told',
    );
    this.#ring = kept;
    this.#capacity = capacity;
  }

  /** The place for one more operation, or `null` while the oldest one is still being answered. */
  reserve(): SavedOperation | null {
    if (this.#next === this.#ring.length && this.#next < this.#capacity)
      this.#ring = this.#ring.concat(new SavedOperation());
    const operation = this.#ring[this.#next];
    if (operation === undefined || operation.pending > 0) return null;
    this.#next = this.#next + 1 === this.#capacity ? 0 : this.#next + 1;
    operation.used = true;
    return operation;
  }

  /** The operation whose PSN range contains `psn`. */
  find(psn: number): SavedOperation | null {
    for (let i = 0; i < this.#ring.length; i++) {
      const operation = this.#ring[i] as SavedOperation;
      if (!operation.used) continue;
      const offset = psnDiff(psn, operation.firstPsn);
      if (offset >= 0 && offset < operation.packets) return operation;
    }
    return null;
  }

  clear(): void {
    for (const operation of this.#ring) {
      operation.used = false;
      operation.pending = 0;
      operation.grant = null;
    }
    this.#next = 0;
  }
}
