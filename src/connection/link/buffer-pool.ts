/**
 * Send and receive buffers of ended connections, for those that come: memory that is allocated anew for every
 * connection drives the garbage collector, which then takes more of a connection's time than its protocol does.
 *
 * Invariants: what is taken is all zero, whoever had it before; no more than `maxBytes` are kept, and nothing of sizes that have gone. Only
 * for memory that no program ever sees, and that the device has let go of. What nobody has needed for ten seconds goes, as soon as
 * anybody comes, goes or rests after that; so what a rush needed once is not kept for ever. Sizes that nobody has asked for in the longest time make room
 * for others: a peer whose messages need ever other sizes takes the pool from nobody.
 */
const UNNEEDED_MILLIS = 10_000;

export class BufferPool {
  readonly #maxBytes: number;
  readonly #now: () => number;
  /** By size; those that were asked for last come last. None is empty. */
  readonly #kept = new Map<number, Uint8Array[]>();
  #keptBytes = 0;
  /** The least that was kept since it was looked at: nobody needed that. */
  #leastBytes = 0;
  #lookedAt: number;

  constructor(maxBytes: number, now: () => number = () => performance.now()) {
    this.#maxBytes = maxBytes;
    this.#now = now;
    this.#lookedAt = now();
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Sizes of which it has buffers. */
  get sizes(): number {
    return this.#kept.size;
  }

  take(bytes: number): Uint8Array {
    this.rest();
    const kept = this.#kept.get(bytes);
    const buffer = kept?.pop();
    if (kept === undefined || buffer === undefined) return new Uint8Array(bytes);
    this.#keptBytes -= bytes;
    this.#leastBytes = Math.min(this.#leastBytes, this.#keptBytes);
    this.#kept.delete(bytes);
    if (kept.length > 0) this.#kept.set(bytes, kept);
    return buffer;
  }

  giveBack(buffer: Uint8Array): void {
    const bytes = buffer.length;
    this.rest();
    this.#makeRoom(bytes);
    if (this.#keptBytes + bytes > this.#maxBytes) return;
    buffer.fill(0);
    this.#keptBytes += bytes;
    const kept = this.#kept.get(bytes);
    if (kept === undefined) this.#kept.set(bytes, [buffer]);
    else kept.push(buffer);
  }

  /** Lets go of what nobody has needed for a while. */
  rest(): void {
    const now = this.#now();
    const millis = now - this.#lookedAt;
    if (millis >= 0 && millis < UNNEEDED_MILLIS) return;
    this.#lookedAt = now;
    this.#shrinkTo(this.#keptBytes - this.#leastBytes, 0);
    this.#leastBytes = this.#keptBytes;
  }

  /** Not by others of the same size: one is as good as the other. */
  #makeRoom(bytes: number): void {
    if (bytes <= this.#maxBytes) this.#shrinkTo(this.#maxBytes - bytes, bytes);
  }

  /** Those that were asked for first go first, but none of `spared` bytes. */
  #shrinkTo(mostBytes: number, spared: number): void {
    for (const [size, kept] of this.#kept) {
      if (this.#keptBytes <= mostBytes) break;
      if (size === spared) continue;
      const tooMany = Math.ceil((this.#keptBytes - mostBytes) / size);
      const gone = kept.splice(0, tooMany).length;
      this.#keptBytes -= gone * size;
      this.#leastBytes = Math.min(this.#leastBytes, this.#keptBytes);
      if (kept.length === 0) this.#kept.delete(size);
    }
  }
}
