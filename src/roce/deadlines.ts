/**
 * A binary heap of things that want to be woken at a time. Arming is cheap for the usual case, a timer that moves
 * into the future again and again: the entry keeps its old, earlier place, and whoever is woken too early arms again.
 */
import { invariant } from '../verbs/invariant.js';

const NEVER = Number.POSITIVE_INFINITY;

/** Something that can be woken. It keeps its place in the heap itself. */
export interface Timed {
  /** Where it stands in the heap; -1 = it is not there. Kept by `Deadlines`. */
  heapIndex: number;
  /** µs. Kept by `Deadlines`. */
  heapKey: number;
}

export class Deadlines<T extends Timed> {
  readonly #heap: T[] = [];
  /** One number, `next`: of an array, as reading it makes no garbage, which a number that a call returns may be. */
  readonly earliest = new Float64Array([NEVER]);

  /** µs; Infinity when nothing is armed. */
  get next(): number {
    return this.earliest[0] as number;
  }

  /** The one that is woken next; `null` when nothing is armed. */
  get first(): T | null {
    return this.#heap[0] ?? null;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Wakes `item` at `at` µs or earlier. */
  arm(item: T, at: number): void {
    if (at === NEVER) return;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
    } else if (item.heapKey <= at) {
      return;
    }
    item.heapKey = at;
    this.#siftUp(item.heapIndex);
  }

  /** Takes out one item that is due at `now`, or `null`. */
  popDue(now: number): T | null {
    const first = this.#heap[0];
    if (first === undefined || first.heapKey > now) return null;
    this.remove(first);
    INVARIANT: invariant(this.next >= first.heapKey, 'the earliest deadline comes first');
    return first;
  }

  /** Wakes the first of them at `at` µs or earlier, which is later than it was to be; Infinity: not at all. */
  postponeFirst(at: number): void {
    const first = this.#heap[0];
    if (first === undefined) return;
    if (at === NEVER) {
      this.remove(first);
      return;
    }
    INVARIANT: invariant(at >= first.heapKey, 'nothing that is postponed is due earlier');
    first.heapKey = at;
    this.#siftDown(0);
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    INVARIANT: invariant(this.#heap[index] === item, 'an item knows its place in the heap');
    item.heapIndex = -1;
    const last = this.#heap.pop() as T;
    if (this.#heap.length === 0) this.earliest[0] = NEVER;
    if (last === item) return;
    this.#heap[index] = last;
    last.heapIndex = index;
    this.#siftUp(index);
    this.#siftDown(last.heapIndex);
  }

  #siftUp(start: number): void {
    let index = start;
    const item = this.#heap[index] as T;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex] as T;
      if (parent.heapKey <= item.heapKey) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(item, index);
  }

  #siftDown(start: number): void {
    let index = start;
    const item = this.#heap[index] as T;
    for (;;) {
      let childIndex = index * 2 + 1;
      if (childIndex >= this.#heap.length) break;
      const right = this.#heap[childIndex + 1];
      if (right !== undefined && right.heapKey < (this.#heap[childIndex] as T).heapKey) childIndex++;
      const child = this.#heap[childIndex] as T;
      if (child.heapKey >= item.heapKey) break;
      this.#place(child, index);
      index = childIndex;
    }
    this.#place(item, index);
  }

  #place(item: T, index: number): void {
    this.#heap[index] = item;
    item.heapIndex = index;
    if (index === 0) this.earliest[0] = item.heapKey;
    INVARIANT: invariant(
      index === 0 || (this.#heap[(index - 1) >> 1] as T).heapKey <= item.heapKey,
      'nothing is due before its parent in the heap',
    );
  }
}
