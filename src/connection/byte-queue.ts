/**
 * Bytes in line, in blocks. Small pieces share a block, so that what waits takes about as much memory as it has bytes: a peer
 * chooses how small its fragments are.
 */
import { Deque } from './deque.js';

const BLOCK_BYTES = 4096;

interface Block {
  readonly bytes: Uint8Array;
  length: number;
}

export class ByteQueue {
  readonly #blocks = new Deque<Block>();
  #length = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  /** Copies `bytes`. */
  copy(bytes: Uint8Array): void {
    if (!this.#share(bytes)) this.#add(bytes.slice(), bytes.length);
  }

  /** `bytes` belong to the queue from now on. */
  push(bytes: Uint8Array): void {
    if (!this.#share(bytes)) this.#add(bytes, bytes.length);
  }

  /** The oldest bytes; `undefined` when there are none. They are the caller's. */
  shift(): Uint8Array | undefined {
    const block = this.#blocks.shift();
    if (block === undefined) return undefined;
    this.#length -= block.length;
    return block.bytes.length === block.length ? block.bytes : block.bytes.subarray(0, block.length);
  }

  clear(): void {
    this.#blocks.takeAll();
    this.#length = 0;
  }

  /** Puts a small piece behind others. One that is alone is kept as it is: it may be read before the next one comes. */
  #share(bytes: Uint8Array): boolean {
    const last = this.#blocks.at(-1);
    if (last === undefined || bytes.length >= BLOCK_BYTES) return false;
    if (last.bytes.length - last.length >= bytes.length) {
      last.bytes.set(bytes, last.length);
      last.length += bytes.length;
      this.#length += bytes.length;
      return true;
    }
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(bytes);
    this.#add(block, bytes.length);
    return true;
  }

  #add(bytes: Uint8Array, length: number): void {
    this.#blocks.push({ bytes, length });
    this.#length += length;
  }
}
