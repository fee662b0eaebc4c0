/**
 * READ and atomic requests on the wire that are not answered in full, oldest first, at most `max_rd_atomic` of them.
 * A long READ goes out as several requests that each fit into the sender's window, so that data comes no faster than
 * the path takes it; every such part counts here.
 */
import { psnDiff } from '../psn.js';

export class ReadRequests {
  readonly #firstPsns: Int32Array;
  readonly #endPsns: Int32Array;
  #head = 0;
  #count = 0;

  constructor(limit: number) {
    this.#firstPsns = new Int32Array(Math.max(1, limit));
    this.#endPsns = new Int32Array(Math.max(1, limit));
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.#firstPsns.length;
  }

  /** First PSN of the oldest one; not to be read when empty. */
  get oldestPsn(): number {
    return this.#firstPsns[this.#head] as number;
  }

  push(firstPsn: number, endPsn: number): void {
    const index = (this.#head + this.#count) % this.#firstPsns.length;
    this.#firstPsns[index] = firstPsn;
    this.#endPsns[index] = endPsn;
    this.#count++;
  }

  /** Forgets those that are answered in full once `psn` is the oldest unanswered PSN. */
  finishBefore(psn: number): void {
    while (this.#count > 0 && psnDiff(psn, this.#endPsns[this.#head] as number) >= 0) {
      this.#head = (this.#head + 1) % this.#firstPsns.length;
      this.#count--;
    }
  }

  /** Forgets those that will be asked for again because sending goes back to `psn`. */
  dropFrom(psn: number): void {
    while (this.#count > 0) {
      const last = (this.#head + this.#count - 1) % this.#firstPsns.length;
      if (psnDiff(this.#endPsns[last] as number, psn) <= 0) return;
      this.#count--;
    }
  }

  clear(): void {
    this.#count = 0;
  }
}
