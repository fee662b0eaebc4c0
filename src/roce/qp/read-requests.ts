/**
 * READ and atomic requests that were sent and are not answered in full, oldest first, at most `max_rd_atomic` of them.
 * A long READ goes out as several requests that each fit into the sender's window, so that data comes no faster than
 * the path takes it; every such part counts here.
 *
 * Invariant: a request keeps its bounds when it is sent again, in whole or from the first missing packet on. The
 * responder remembers it by them and drops a repetition that reaches beyond.
 */
import { psnDiff } from '../psn.js';

export class ReadRequests {
  #limit: number;
  #firstPsns: Int32Array;
  #endPsns: Int32Array;
  #head = 0;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#firstPsns = new Int32Array(limit);
    this.#endPsns = new Int32Array(limit);
  }

  /** 0 = the queue pair can do no READs and atomics at all. */
  get limit(): number {
    return this.#limit;
  }

  /** Changes the limit; what is on the wire is kept. */
  resize(limit: number): void {
    const places = this.#firstPsns.length;
    const open = Array.from({ length: this.#count }, (_, i) => (this.#head + i) % places);
    const grow = (psns: Int32Array): Int32Array => {
      const resized = new Int32Array(Math.max(limit, this.#count));
      resized.set(open.map((index) => psns[index] as number));
      return resized;
    };
    this.#firstPsns = grow(this.#firstPsns);
    this.#endPsns = grow(this.#endPsns);
    this.#head = 0;
    this.#limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= this.#limit;
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

  /** Where the request that `psn` belongs to ends; -1 when none does, so that a new one may begin there. */
  endOf(psn: number): number {
    for (let i = 0; i < this.#count; i++) {
      const index = (this.#head + i) % this.#firstPsns.length;
      const end = this.#endPsns[index] as number;
      if (psnDiff(psn, end) < 0) return psnDiff(psn, this.#firstPsns[index] as number) >= 0 ? end : -1;
    }
    return -1;
  }

  clear(): void {
    this.#count = 0;
  }
}
