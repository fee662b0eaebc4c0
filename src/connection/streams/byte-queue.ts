/**
 * Bytes in line, in blocks. Small pieces share a block, so that what waits takes about as much memory as it has bytes: a peer
 * chooses how small its fragments are. Large ones share a block as well, one behind the other, and are read as one: that spares
 * allocations and the garbage that they become. What is left of such a block serves the next ones, until V8 collects garbage: a
 * stream that rests keeps no memory.
 */
import { markAsUntransferable } from 'node:worker_threads';
import { Deque } from '../common/deque.js';
import { weigh } from '../common/young-weight.js';

const BLOCK_BYTES = 4096;
/** What large pieces share. */
const SLAB_BYTES = 64 * 1024;

interface Block {
  bytes: Uint8Array;
  length: number;
}

const NO_BYTES = new Uint8Array(0);
const NO_SLAB = new WeakRef<Uint8Array>(NO_BYTES);

export class ByteQueue {
  readonly #blocks = new Deque<Block>();
  #length = 0;
  #slab = NO_SLAB;
  #slabBytes = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  /** Copies `bytes`. */
  copy(bytes: Uint8Array): void {
    if (bytes.length < BLOCK_BYTES) {
      if (!this.#share(bytes)) this.#add(Buffer.from(bytes));
      return;
    }
    const slab = this.#slabFor(bytes.length);
    const from = this.#slabBytes;
    this.#slabBytes += bytes.length;
    slab.set(bytes, from);
    this.push(slab.subarray(from, this.#slabBytes));
  }

  /** `bytes` belong to the queue from now on. */
  push(bytes: Uint8Array): void {
    if (!this.#extend(bytes) && !this.#share(bytes)) this.#add(bytes);
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
    this.#slab = NO_SLAB;
    this.#slabBytes = 0;
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
    const block = Buffer.alloc(BLOCK_BYTES);
    block.set(bytes);
    this.#add(block, bytes.length);
    return true;
  }

  /** Bytes that lie behind the last ones in memory are read together with them. */
  #extend(bytes: Uint8Array): boolean {
    const last = this.#blocks.at(-1);
    if (last === undefined || last.length !== last.bytes.length || last.bytes.buffer !== bytes.buffer)
      return false;
    if (last.bytes.byteOffset + last.length !== bytes.byteOffset) return false;
    last.length += bytes.length;
    last.bytes = Buffer.from(bytes.buffer, last.bytes.byteOffset, last.length);
    this.#length += bytes.length;
    return true;
  }

  /** A slab that has room for `bytes` more. Whoever transferred what it had read would take away what others read. */
  #slabFor(bytes: number): Uint8Array {
    const slab = this.#slab.deref();
    if (slab !== undefined && slab.length - this.#slabBytes >= bytes) return slab;
    const renewed = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes));
    markAsUntransferable(renewed.buffer);
    weigh(renewed.length);
    this.#slab = new WeakRef(renewed);
    this.#slabBytes = 0;
    return renewed;
  }

  #add(bytes: Uint8Array, length = bytes.length): void {
    this.#blocks.push({ bytes, length });
    this.#length += length;
  }
}
