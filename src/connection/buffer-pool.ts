/**
 * Send and receive buffers of ended connections, for those that come: memory that is allocated anew for every
 * connection drives the garbage collector, which then takes more of a connection's time than its protocol does.
 *
 * Invariants: what is taken is all zero, whoever had it before; no more than `maxBytes` are kept. Only for memory that no
 * program ever sees, and that the device has let go of.
 */
export class BufferPool {
  readonly #maxBytes: number;
  readonly #kept = new Map<number, Uint8Array[]>();
  #keptBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  take(bytes: number): Uint8Array {
    const buffer = this.#kept.get(bytes)?.pop();
    if (buffer === undefined) return new Uint8Array(bytes);
    this.#keptBytes -= bytes;
    return buffer;
  }

  giveBack(buffer: Uint8Array): void {
    const bytes = buffer.length;
    if (this.#keptBytes + bytes > this.#maxBytes) return;
    buffer.fill(0);
    this.#keptBytes += bytes;
    const kept = this.#kept.get(bytes);
    if (kept === undefined) this.#kept.set(bytes, [buffer]);
    else kept.push(buffer);
  }
}
