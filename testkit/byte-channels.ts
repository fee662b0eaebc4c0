/** Two byte channels that are the ends of one stream in memory; what is written arrives when the test says so. */
import type { ByteChannel, ByteChannelListener } from '../src/connection/streams/byte-channel.js';

interface Written {
  readonly data: Uint8Array | null;
  readonly done: () => void;
}

export class MemoryChannel implements ByteChannel {
  listener: ByteChannelListener | null = null;
  /** Given to `write` and `end` and not delivered; `null` is the end. */
  readonly written: Written[] = [];
  readonly arrived: Uint8Array[] = [];
  /** What `close` was called with. */
  readonly closed: (Error | null)[] = [];
  #peer: MemoryChannel | undefined;
  #hasEnd = false;

  static pair(): [MemoryChannel, MemoryChannel] {
    const one = new MemoryChannel();
    const other = new MemoryChannel();
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  get isAtEnd(): boolean {
    return this.#hasEnd && this.arrived.length === 0;
  }

  write(data: Uint8Array, done: () => void): void {
    this.written.push({ data, done });
  }

  end(done: () => void): void {
    this.written.push({ data: null, done });
  }

  read(): Uint8Array | undefined {
    return this.arrived.shift();
  }

  close(error: Error | null): void {
    this.closed.push(error);
  }

  /** What was written until now arrives at the peer, copied, and counts as done. */
  deliver(): void {
    for (const next of this.written.splice(0)) {
      if (next.data === null) this.peer.#hasEnd = true;
      else this.peer.arrived.push(next.data.slice());
      this.peer.listener?.onReadable();
      next.done();
    }
  }

  get peer(): MemoryChannel {
    if (this.#peer === undefined) throw new Error('only pair() makes channels');
    return this.#peer;
  }
}
