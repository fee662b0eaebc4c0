/**
 * Scatter/gather lists of a queue's slots in a flat array: `maxSge` pieces a slot, set when a request is posted and
 * read while its packets are made or received. Pieces may be of any length, 0 included.
 */
import { invariant } from '../../verbs/invariant.js';
import { copyBytes } from '../copy.js';
import type { Region } from '../memory/region.js';
import type { TransmitBatch } from '../transmit-batch.js';

/** Numbers and regions of a slot: how many pieces it has, then region, offset and length of each. */
type Entry = Region | number | null;

export class SgeTable {
  readonly maxSge: number;
  /** Entries of one slot. */
  readonly #stride: number;
  // One plain array: typed ones take hundreds of bytes each before they hold anything, and there are thousands of tables.
  #entries: Entry[] = [];

  constructor(slots: number, maxSge: number) {
    this.maxSge = maxSge;
    this.#stride = 1 + 3 * maxSge;
    this.grow(slots);
  }

  /** Adds slots, with empty lists, until there are so many. */
  grow(slots: number): void {
    const before = this.#entries.length;
    const entries = lengthened<Entry>(this.#entries, slots * this.#stride, null);
    for (let at = before; at < entries.length; at += this.#stride) entries[at] = 0;
    this.#entries = entries;
  }

  /** Empties the slot's list. */
  clear(slot: number): void {
    const entries = this.#entries;
    const at = slot * this.#stride;
    const count = entries[at] as number;
    if (count === 0) return;
    for (let i = 0; i < count; i++) entries[at + 1 + 3 * i] = null;
    entries[at] = 0;
  }

  /** Appends a piece. The caller keeps to `maxSge`. */
  add(slot: number, region: Region, offset: number, length: number): void {
    const entries = this.#entries;
    const base = slot * this.#stride;
    const count = entries[base] as number;
    INVARIANT: invariant(count < this.maxSge, 'a list has no more than maxSge pieces');
    const at = base + 1 + 3 * count;
    entries[at] = region;
    entries[at + 1] = offset;
    entries[at + 2] = length;
    entries[base] = count + 1;
  }

  /** Moves the slot's list to `targetSlot` of `target`, which allows as many pieces; returns their bytes in all. */
  moveTo(target: SgeTable, targetSlot: number, slot: number): number {
    target.clear(targetSlot);
    const entries = this.#entries;
    const targets = target.#entries;
    let from = slot * this.#stride;
    let to = targetSlot * target.#stride;
    const count = entries[from] as number;
    INVARIANT: invariant(count <= target.maxSge, 'a list moves to a table that allows as many pieces');
    targets[to] = count;
    entries[from] = 0;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const length = entries[from + 3] as number;
      targets[to + 1] = entries[from + 1] as Region;
      targets[to + 2] = entries[from + 2] as number;
      targets[to + 3] = length;
      entries[from + 1] = null;
      total += length;
      from += 3;
      to += 3;
    }
    return total;
  }

  /** Whether the slot's list is one piece. */
  isOnePiece(slot: number): boolean {
    return this.#entries[slot * this.#stride] === 1;
  }

  /** Where the first piece of the slot's list is, which has one. */
  regionOf(slot: number): Region {
    return this.#entries[slot * this.#stride + 1] as Region;
  }

  offsetOf(slot: number): number {
    return this.#entries[slot * this.#stride + 2] as number;
  }

  totalLength(slot: number): number {
    const at = slot * this.#stride;
    const count = this.#entries[at] as number;
    let total = 0;
    for (let i = 1; i <= count; i++) total += this.#entries[at + 3 * i] as number;
    return total;
  }

  /** Whether every piece is valid memory of domain `pd`, inside its region, and allows `access`. */
  allows(slot: number, pd: number, access: number): boolean {
    const entries = this.#entries;
    let at = slot * this.#stride;
    const count = entries[at] as number;
    for (let i = 0; i < count; i++, at += 3) {
      const region = entries[at + 1] as Region;
      const offset = entries[at + 2] as number;
      const length = entries[at + 3] as number;
      if (!region.usable || region.pd !== pd || (region.access & access) !== access) return false;
      if (offset < 0 || length < 0 || offset > region.bytes.length - length) return false;
    }
    return true;
  }

  /** Adds the bytes [at, at + length) of the list to the packet that `batch` is building. */
  gather(slot: number, at: number, length: number, batch: TransmitBatch): void {
    const entries = this.#entries;
    const base = slot * this.#stride;
    let piece = base + 1;
    let skip = at;
    let left = length;
    while (left > 0) {
      INVARIANT: invariant(piece <= base + 3 * (entries[base] as number), 'what is gathered is listed');
      const pieceLength = entries[piece + 2] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(left, pieceLength - skip);
        batch.addSegment(entries[piece] as Region, (entries[piece + 1] as number) + skip, taken);
        left -= taken;
        skip = 0;
      }
      piece += 3;
    }
  }

  /** Copies `length` bytes into the list, beginning `at` bytes into it. The caller has checked that they fit. */
  scatter(slot: number, at: number, source: Uint8Array, sourceAt: number, length: number): void {
    const entries = this.#entries;
    const base = slot * this.#stride;
    let piece = base + 1;
    let skip = at;
    let from = sourceAt;
    const end = sourceAt + length;
    while (from < end) {
      INVARIANT: invariant(piece <= base + 3 * (entries[base] as number), 'what arrives fits the list');
      const pieceLength = entries[piece + 2] as number;
      if (skip >= pieceLength) {
        skip -= pieceLength;
      } else {
        const taken = Math.min(end - from, pieceLength - skip);
        const target = (entries[piece] as Region).bytes;
        copyBytes(target, (entries[piece + 1] as number) + skip, source, from, taken);
        from += taken;
        skip = 0;
      }
      piece += 3;
    }
  }
}

/** An array of exactly that length: one that grows by `push` has room for sixteen more. */
export const lengthened = <Item>(array: Item[], length: number, item: Item): Item[] =>
  array.concat(new Array<Item>(Math.max(0, length - array.length)).fill(item));
