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
  // Plain arrays: typed ones take hundreds of bytes each before they hold anything, and there are thousands of tables.
  #regions: (Region | null)[] = [];
  #offsets: number[] = [];
  #lengths: number[] = [];
  #counts: number[] = [];

  constructor(slots: number, maxSge: number) {
    this.maxSge = maxSge;
    this.grow(slots);
  }

  /** Adds slots, with empty lists, until there are so many. */
  grow(slots: number): void {
    const pieces = slots * this.maxSge;
    this.#regions = lengthened(this.#regions, pieces, null);
    this.#offsets = lengthened(this.#offsets, pieces, 0);
    this.#lengths = lengthened(this.#lengths, pieces, 0);
    this.#counts = lengthened(this.#counts, slots, 0);
  }

  /** Empties the slot's list. */
  clear(slot: number): void {
    const count = this.#counts[slot] as number;
    if (count === 0) return;
    const base = slot * this.maxSge;
    for (let i = 0; i < count; i++) this.#regions[base + i] = null;
    this.#counts[slot] = 0;
  }

  /** Appends a piece. The caller keeps to `maxSge`. */
  add(slot: number, region: Region, offset: number, length: number): void {
    const count = this.#counts[slot] as number;
    INVARIANT: invariant(count < this.maxSge, 'a list has no more than maxSge pieces');
    const index = slot * this.maxSge + count;
    this.#regions[index] = region;
    this.#offsets[index] = offset;
    this.#lengths[index] = length;
    this.#counts[slot] = count + 1;
  }

  /** Moves the slot's list to `targetSlot` of `target`, which allows as many pieces; returns their bytes in all. */
  moveTo(target: SgeTable, targetSlot: number, slot: number): number {
    target.clear(targetSlot);
    const count = this.#counts[slot] as number;
    INVARIANT: invariant(count <= target.maxSge, 'a list moves to a table that allows as many pieces');
    let from = slot * this.maxSge;
    let to = targetSlot * target.maxSge;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const length = this.#lengths[from] as number;
      target.#regions[to] = this.#regions[from] as Region;
      target.#offsets[to] = this.#offsets[from] as number;
      target.#lengths[to] = length;
      this.#regions[from] = null;
      total += length;
      from++;
      to++;
    }
    target.#counts[targetSlot] = count;
    this.#counts[slot] = 0;
    return total;
  }

  totalLength(slot: number): number {
    const base = slot * this.maxSge;
    const count = this.#counts[slot] as number;
    let total = 0;
    for (let i = 0; i < count; i++) total += this.#lengths[base + i] as number;
    return total;
  }

  /** Whether every piece is valid memory of domain `pd`, inside its region, and allows `access`. */
  allows(slot: number, pd: number, access: number): boolean {
    const base = slot * this.maxSge;
    const count = this.#counts[slot] as number;
    for (let i = 0; i < count; i++) {
      const region = this.#regions[base + i] as Region;
      const length = this.#lengths[base + i] as number;
      const offset = this.#offsets[base + i] as number;
      if (!region.usable || region.pd !== pd || (region.access & access) !== access) return false;
      if (offset < 0 || length < 0 || offset > region.bytes.length - length) return false;
    }
    return true;
  }

  /** Adds the bytes [at, at + length) of the list to the packet that `batch` is building. */
  gather(slot: number, at: number, length: number, batch: TransmitBatch): void {
    let index = slot * this.maxSge;
    let skip = at;
    let left = length;
    while (left > 0) {
      INVARIANT: invariant(
        index < slot * this.maxSge + (this.#counts[slot] as number),
        'what is gathered is listed',
      );
      const pieceLength = this.#lengths[index] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(left, pieceLength - skip);
        batch.addSegment(this.#regions[index] as Region, (this.#offsets[index] as number) + skip, taken);
        left -= taken;
        skip = 0;
      }
      index++;
    }
  }

  /** Copies `length` bytes into the list, beginning `at` bytes into it. The caller has checked that they fit. */
  scatter(slot: number, at: number, source: Uint8Array, sourceAt: number, length: number): void {
    let index = slot * this.maxSge;
    let skip = at;
    let from = sourceAt;
    const end = sourceAt + length;
    while (from < end) {
      INVARIANT: invariant(
        index < slot * this.maxSge + (this.#counts[slot] as number),
        'what arrives fits the list',
      );
      const pieceLength = this.#lengths[index] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(end - from, pieceLength - skip);
        const target = (this.#regions[index] as Region).bytes;
        copyBytes(target, (this.#offsets[index] as number) + skip, source, from, taken);
        from += taken;
        skip = 0;
      }
      index++;
    }
  }
}

/** An array of exactly that length: one that grows by `push` has room for sixteen more. */
export const lengthened = <Item>(array: Item[], length: number, item: Item): Item[] =>
  array.concat(new Array<Item>(Math.max(0, length - array.length)).fill(item));
