/**
 * Memory from which fragments are sent: a little at first, more when what waits finds no room in it, and the little again when
 * nothing is under way and its owner says so. Thousands of connections that are silent hold next to none.
 *
 * Invariant: memory goes when no fragment in it is under way, or when its link is over.
 */
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { SendRing } from './send-ring.js';

/** So many fragments may be under way before anybody must learn soon that they have arrived. */
const UNHURRIED_FRAGMENTS = 8;

export interface SendMemoryOptions {
  /** What is there from the beginning, and stays. */
  readonly mr: MemoryRegion;
  /** Of `mr`, as much as is for fragments. */
  readonly firstBytes: number;
  readonly mostBytes: number;
  /** Brings more memory, or says that there is none. */
  readonly allocate: (bytes: number) => Promise<MemoryRegion>;
  /** Memory of `allocate` that is no longer needed. */
  readonly release: (mr: MemoryRegion) => void;
  /** There is more of it, or there will be no more. */
  readonly onGrown: () => void;
}

/** One piece of it, with the fragments that have room there. */
export class SendBuffer extends SendRing {
  readonly mr: MemoryRegion;

  constructor(mr: MemoryRegion, bytes: number) {
    super(bytes);
    this.mr = mr;
  }
}

export class SendMemory {
  readonly #options: SendMemoryOptions;
  readonly #first: SendBuffer;
  /** Where the next fragment goes. */
  current: SendBuffer;
  /** Pieces in which fragments are under way, and which get no others. */
  #leaving: SendBuffer[] | null = null;
  #fragments = 0;
  #isGrowing = false;
  /** There was no memory; asked again on the next link, or when this one was idle. */
  #isExhausted = false;

  constructor(options: SendMemoryOptions) {
    this.#options = options;
    this.#first = new SendBuffer(options.mr, options.firstBytes);
    this.current = this.#first;
  }

  /** Fragments that are under way. */
  get fragments(): number {
    return this.#fragments;
  }

  /** Whether there is more of it than at first. */
  get hasGrown(): boolean {
    return this.current !== this.#first;
  }

  /** The longest fragment that has room where nothing is under way, or will have it. */
  get longestBytes(): number {
    return this.#isExhausted ? this.current.bytes : Math.max(this.current.bytes, this.#options.mostBytes);
  }

  /** Where in `current` a fragment of `bytes` has room; -1: nowhere now. Then there will be more memory, where there may be. */
  placeFor(bytes: number): number {
    const place = this.current.placeFor(bytes);
    if (place < 0) this.#grow(bytes);
    return place;
  }

  /** Whether what fragments have taken is not missed for a while. */
  get isRoomy(): boolean {
    return this.#fragments <= UNHURRIED_FRAGMENTS && this.current.isRoomy;
  }

  /** Takes `bytes` at `place`, which `placeFor` has told just now. */
  take(place: number, bytes: number): void {
    this.current.take(place, bytes);
    this.#fragments++;
  }

  /** The oldest fragment needs its room in `buffer` no longer. */
  giveBack(buffer: SendBuffer): void {
    buffer.giveBack();
    this.#fragments--;
    if (buffer === this.current || buffer.fragments > 0) return;
    const index = this.#leaving?.indexOf(buffer) ?? -1;
    if (index < 0) return;
    this.#leaving?.splice(index, 1);
    this.#options.release(buffer.mr);
  }

  /** The link is over: the device uses none of it any more. */
  clear(): void {
    for (const { mr } of this.#leaving ?? []) this.#options.release(mr);
    this.#leaving = null;
    this.#first.clear();
    this.current.clear();
    this.#fragments = 0;
    this.#isExhausted = false;
  }

  /** Nothing was sent for a while: keeps what was there at first. */
  shrink(): void {
    const { current } = this;
    this.#isExhausted = false;
    if (this.#fragments > 0 || current === this.#first) return;
    this.current = this.#first;
    this.#options.release(current.mr);
  }

  #grow(bytes: number): void {
    const options = this.#options;
    const { mostBytes } = options;
    const { current } = this;
    if (this.#isGrowing || this.#isExhausted || current.bytes >= mostBytes) return;
    this.#isGrowing = true;
    // Twice as much, however often: memory of few sizes is memory that others can use again.
    let wanted = current.bytes;
    while (wanted < 2 * bytes || wanted === current.bytes) wanted *= 2;
    wanted = Math.min(mostBytes, wanted);
    const grown = (mr: MemoryRegion): void => {
      this.#isGrowing = false;
      const before = this.current;
      this.current = new SendBuffer(mr, wanted);
      if (before !== this.#first) {
        if (before.fragments > 0) {
          this.#leaving ??= [];
          this.#leaving.push(before);
        } else options.release(before.mr);
      }
      options.onGrown();
    };
    options.allocate(wanted).then(grown, () => {
      this.#isGrowing = false;
      this.#isExhausted = true;
      options.onGrown();
    });
  }
}
