/**
 * Scatter/gather lists of a queue's slots in flat arrays: `maxSge` pieces a slot, set when a request is posted and
 * read while its packets are made or received. Pieces may be of any length, 0 included.
 */
import { invariant } from '../../verbs/invariant.js';
import { copyBytes } from '../copy.js';
import type { Region } from '../memory/region.js';
import type { TransmitBatch } from '../transmit-batch.js';

export class SgeTable {
  readonly maxSge: number;
  /** Numbers of one slot. */
  readonly #stride: number;
  // Plain arrays: typed ones take hundreds of bytes each before they hold anything, and there are thousands of tables.
  #regions: (Region | null)[] = [];
  /** Of each slot: how many pieces it has, then offset and length of each. */
  #numbers: number[] = [];

  constructor(slots: number, maxSge: number) {
    this.maxSge = maxSge;
    this.#stride = 1 + 2 * maxSge;
    this.grow(slots);
  }

  /** Adds slots, with empty lists, until there are so many. */
  grow(slots: number): void {
    this.#regions = lengthened(this.#regions, slots * this.maxSge, null);
    this.#numbers = lengthened(this.#numbers, slots * this.#stride, 0);
  }

  /** Empties the slot's list. */
  clear(slot: number): void {
    const at = slot * this.#stride;
    const count = this.#numbers[at] as number;
    if (count === 0) return;
    const base = slot * this.maxSge;
    for (let i = 0; i < count; i++) this.#regions[base + i] = null;
    this.#numbers[at] = 0;
  }

  /** Appends a piece. The caller keeps to `maxSge`. */
  add(slot: number, region: Region, offset: number, length: number): void {
    const numbers = this.#numbers;
    const base = slot * this.#stride;
    const count = numbers[base] as number;
    INVARIANT: invariant(count < this.maxSge, 'a list has no more than maxSge pieces');
    this.#regions[slot * this.maxSge + count] = region;
    const at = base + 1 + 2 * count;
    numbers[at] = offset;
    numbers[at + 1] = length;
    numbers[base] = count + 1;
  }

  /** Moves the slot's list to `targetSlot` of `target`, which allows as many pieces; returns their bytes in all. */
  moveTo(target: SgeTable, targetSlot: number, slot: number): number {
    target.clear(targetSlot);
    const numbers = this.#numbers;
    let from = slot * this.#stride;
    let to = targetSlot * target.#stride;
    const count = numbers[from] as number;
    INVARIANT: invariant(count <= target.maxSge, 'a list moves to a table that allows as many pieces');
    target.#numbers[to] = count;
    numbers[from] = 0;
    let piece = slot * this.maxSge;
    let targetPiece = targetSlot * target.maxSge;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const length = numbers[from + 2] as number;
      target.#regions[targetPiece] = this.#regions[piece] as Region;
      target.#numbers[to + 1] = numbers[from + 1] as number;
      target.#numbers[to + 2] = length;
      this.#regions[piece] = null;
      total += length;
      piece++;
      targetPiece++;
      from += 2;
      to += 2;
    }
    return total;
  }

  /** Whether the slot's list is one piece. */
  isOnePiece(slot: number): boolean {
    return this.#numbers[slot * this.#stride] === 1;
  }

  /** Where the first piece of the slot's list is, which has one. */
  regionOf(slot: number): Region {
    return this.#regions[slot * this.maxSge] as Region;
  }

  offsetOf(slot: number): number {
    return this.#numbers[slot * this.#stride + 1] as number;
  }

  totalLength(slot: number): number {
    const at = slot * this.#stride;
    const count = this.#numbers[at] as number;
    let total = 0;
    for (let i = 1; i <= count; i++) total += this.#numbers[at + 2 * i] as number;
    return total;
  }

  /** Whether every piece is valid memory of domain `pd`, inside its region, and allows `access`. */
  allows(slot: number, pd: number, access: number): boolean {
    const numbers = this.#numbers;
    const base = slot * this.maxSge;
    let at = slot * this.#stride;
    const count = numbers[at] as number;
    for (let i = 0; i < count; i++, at += 2) {
      const region = this.#regions[base + i] as Region;
      const offset = numbers[at + 1] as number;
      const length = numbers[at + 2] as number;
      if (!region.usable || region.pd !== pd || (region.access & access) !== access) return false;
      if (offset < 0 || length < 0 || offset > region.bytes.length - length) return false;
    }
    return true;
  }

  /** Adds the bytes [at, at + length) of the list to the packet that `batch` is building. */
  gather(slot: number, at: number, length: number, batch: TransmitBatch): void {
    const numbers = this.#numbers;
    let index = slot * this.maxSge;
    let piece = slot * this.#stride + 1;
    let skip = at;
    let left = length;
    while (left > 0) {
      INVARIANT: invariant(
        index < slot * this.maxSge + (numbers[slot * this.#stride] as number),
        'what is gathered is listed',
      );
      const pieceLength = numbers[piece + 1] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(left, pieceLength - skip);
        batch.addSegment(this.#regions[index] as Region, (numbers[piece] as number) + skip, taken);
        left -= taken;
        skip = 0;
      }
      index++;
      piece += 2;
    }
  }

  /** Copies `length` bytes into the list, beginning `at` bytes into it. The caller has checked that they fit. */
  scatter(slot: number, at: number, source: Uint8Array, sourceAt: number, length: number): void {
    const numbers = this.#numbers;
    let index = slot * this.maxSge;
    let piece = slot * this.#stride + 1;
    let skip = at;
    let from = sourceAt;
    const end = sourceAt + length;
    while (from < end) {
      INVARIANT: invariant(
        index < slot * this.maxSge + (numbers[slot * this.#stride] as number),
        'what arrives fits the list',
      );
      const pieceLength = numbers[piece + 1] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(end - from, pieceLength - skip);
        const target = (this.#regions[index] as Region).bytes;
        copyBytes(target, (numbers[piece] as number) + skip, source, from, taken);
        from += taken;
        skip = 0;
      }
      index++;
      piece += 2;
    }
  }
}

/** An array of exactly that length: one that grows by `push` has room for sixteen more. */
export const lengthened = <Item>(array: Item[], length: number, item: Item): Item[] =>
  array.concat(new Array<Item>(Math.max(0, length - array.length)).fill(item));
