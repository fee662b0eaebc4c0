/**
 * Where chunks of streams can leave from without a copy: memory that the connection has registered, and, at devices that register
 * at once, memory of the program that is registered for as long as a chunk is sent. Where bytes are sealed, sealing copies them
 * anyway, and no chunk leaves from its own memory.
 *
 * Invariants: a chunk that cannot be registered is copied, and nobody hears of it; no more than `MOST_LENT` chunks are registered
 * for themselves; what was registered for a chunk is deregistered once it is released.
 */
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { FIXED_NUMBERS } from '../common/fixed-numbers.js';
import { mayShrink } from '../common/memory-argument.js';

/** Registered memory that a chunk lies in. */
export interface Place {
  readonly mr: MemoryRegion;
  /** Where in it. */
  readonly at: number;
}

export interface ChunkMemory {
  /** Where `chunk` can leave from, now or soon; `null`: it must be copied. */
  placeOf(chunk: Uint8Array): Place | null | Promise<Place | null>;
  /** The device reads `place` no longer. */
  release(place: Place): void;
}

/** What registers memory. */
export interface ChunkRegistrar {
  find(bytes: Uint8Array): Place | null;
  register(bytes: Uint8Array, access: number): Promise<MemoryRegion>;
  deregister(mr: MemoryRegion): Promise<void>;
}

export interface StreamMemoryOptions {
  /** Whether memory is registered at once. */
  isInstant(): boolean;
  isSealed(): boolean;
  /** `null`: there is none. */
  registrar(): ChunkRegistrar | null;
}

/** Others copy: a device has room for so many regions, and other connections need some as well. */
const MOST_LENT = 64;

export class StreamMemory implements ChunkMemory {
  readonly #options: StreamMemoryOptions;
  /** Registered for one chunk each. */
  #lent: Set<MemoryRegion> | null = null;
  #registering = 0;

  constructor(options: StreamMemoryOptions) {
    this.#options = options;
  }

  placeOf(chunk: Uint8Array): Place | null | Promise<Place | null> {
    const options = this.#options;
    const owner = options.registrar();
    if (owner === null || options.isSealed()) return null;
    const found = owner.find(chunk);
    if (found !== null) return found;
    if (chunk.length < FIXED_NUMBERS.lentChunkBytes || !options.isInstant() || mayShrink(chunk)) return null;
    return (this.#lent?.size ?? 0) + this.#registering < MOST_LENT ? this.#lend(owner, chunk) : null;
  }

  release({ mr }: Place): void {
    if (this.#lent?.delete(mr) !== true) return;
    // A region that cannot be deregistered goes with everything else, and whoever ends the connection is told why it cannot.
    void this.#options
      .registrar()
      ?.deregister(mr)
      .catch(() => {});
  }

  async #lend(owner: ChunkRegistrar, chunk: Uint8Array): Promise<Place | null> {
    this.#registering++;
    try {
      const mr = await owner.register(chunk, 0);
      this.#lent ??= new Set();
      this.#lent.add(mr);
      return { mr, at: 0 };
    } catch {
      return null;
    } finally {
      this.#registering--;
    }
  }
}
