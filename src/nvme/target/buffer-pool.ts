/**
 * Memory for data under way between hosts and backends: buffers of a few sizes in one registered region. A command that finds none free
 * waits for its turn.
 *
 * Invariants: nothing is made after the beginning; who waits longer is served earlier; a buffer has one owner.
 */
import type { MemoryRegion } from '../../verbs/memory-region.js';

/** Sizes, smallest first, and how many there are of each. */
const CLASSES = [
  { bytes: 8 << 10, count: 256 },
  { bytes: 64 << 10, count: 64 },
  { bytes: 1 << 20, count: 16 },
] as const;

export const POOL_BYTES = CLASSES.reduce((sum, { bytes, count }) => sum + bytes * count, 0);

export interface PoolBuffer {
  readonly region: MemoryRegion;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Index of its size. */
  readonly kind: number;
}

/** Who waits for a buffer. */
export interface BufferTaker {
  readonly wantedBytes: number;
  takeBuffer(buffer: PoolBuffer): void;
}

export class BufferPool {
  readonly #free: PoolBuffer[][];
  /** By the smallest size that fits, first come first served. */
  readonly #waiting: BufferTaker[][];
  readonly #total: number;

  /** `region`: of {@link POOL_BYTES}. */
  constructor(region: MemoryRegion) {
    let offset = 0;
    this.#free = CLASSES.map(({ bytes, count }, kind) =>
      Array.from({ length: count }, () => {
        const buffer = { region, offset, bytes: region.bytes.subarray(offset, offset + bytes), kind };
        offset += bytes;
        return buffer;
      }),
    );
    this.#waiting = CLASSES.map(() => []);
    this.#total = CLASSES.reduce((sum, { count }) => sum + count, 0);
  }

  /** Buffers that somebody has. */
  get used(): number {
    return this.#free.reduce((rest, buffers) => rest - buffers.length, this.#total);
  }

  /** Gives `taker` a buffer now, within this call, or later. */
  ask(taker: BufferTaker): void {
    const kind = kindFor(taker.wantedBytes);
    const waiting = this.#waiting[kind] as BufferTaker[];
    const buffer = waiting.length === 0 ? this.#free[kind]?.pop() : undefined;
    if (buffer === undefined) waiting.push(taker);
    else taker.takeBuffer(buffer);
  }

  /** Who has given up waits no more. */
  forget(taker: BufferTaker): void {
    const waiting = this.#waiting[kindFor(taker.wantedBytes)] as BufferTaker[];
    const index = waiting.indexOf(taker);
    if (index >= 0) waiting.splice(index, 1);
  }

  give(buffer: PoolBuffer): void {
    const next = this.#waiting[buffer.kind]?.shift();
    if (next === undefined) this.#free[buffer.kind]?.push(buffer);
    else next.takeBuffer(buffer);
  }
}

/** The caller has checked that the largest fits. */
const kindFor = (bytes: number): number =>
  Math.max(
    0,
    CLASSES.findIndex((one) => one.bytes >= bytes),
  );
