/**
 * Send and receive buffers of ended connections, for those that come: memory that is allocated anew for every
 * connection drives the garbage collector, which then takes more of a connection's time than its protocol does.
 *
 * Invariants: what is taken is all zero, whoever had it before; no more than `maxBytes` are kept, and nothing of sizes that have gone. Only
 * for memory that no program ever sees, and that the device has let go of. Sizes that nobody has asked for in the longest time make room
 * for others: a peer whose messages need ever other sizes takes the pool from nobody.
 */
export class BufferPool {
  readonly #maxBytes: number;
  /** By size; those that were asked for last come last. None is empty. */
  readonly #kept = new Map<number, Uint8Array[]>();
  #keptBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Sizes of which it has buffers. */
  get sizes(): number {
    return this.#kept.size;
  }

  take(bytes: number): Uint8Array {
    const kept = this.#kept.get(bytes);
    const buffer = kept?.pop();
    if (kept === undefined || buffer === undefined) return new Uint8Array(bytes);
    this.#keptBytes -= bytes;
    this.#kept.delete(bytes);
    if (kept.length > 0) this.#kept.set(bytes, kept);
    return buffer;
  }

  giveBack(buffer: Uint8Array): void {
    const bytes = buffer.length;
    this.#makeRoom(bytes);
    if (this.#keptBytes + bytes > this.#maxBytes) return;
    buffer.fill(0);
    this.#keptBytes += bytes;
    const kept = this.#kept.get(bytes);
    if (kept === undefined) this.#kept.set(bytes, [buffer]);
    else kept.push(buffer);
  }

  /** Not by others of the same size: one is as good as the other. */
  #makeRoom(bytes: number): void {
    for (const [size, kept] of this.#kept) {
      if (this.#keptBytes + bytes <= this.#maxBytes || bytes > this.#maxBytes) return;
      if (size === bytes) continue;
      const tooMany = Math.ceil((this.#keptBytes + bytes - this.#maxBytes) / size);
      const gone = kept.splice(0, tooMany).length;
      this.#keptBytes -= gone * size;
      if (kept.length === 0) this.#kept.delete(size);
    }
  }
}
