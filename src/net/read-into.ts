/**
 * The option `onread` of a socket: what comes is copied into memory of the program, which is called for each piece, and no `data` is
 * told.
 *
 * Invariants: the callback gets all bytes in order and none twice, also where it stops in the middle of what came; a socket that is
 * stopped takes nothing more from its channel, so that its peer stops as well.
 */
import type { OnReadOptions } from './options.js';

export class ReadInto {
  readonly #options: OnReadOptions;
  readonly #receiver: unknown;
  #memory: Uint8Array;
  /** What came and was not told yet; `#taken` bytes of the first were. */
  readonly #waiting: Uint8Array[] = [];
  #taken = 0;
  #isStopped = false;
  #isTelling = false;

  /** `receiver` is what the callback sees as `this`. */
  constructor(options: OnReadOptions, receiver: unknown) {
    this.#options = options;
    this.#receiver = receiver;
    const { buffer } = options;
    this.#memory = typeof buffer === 'function' ? buffer() : buffer;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Returns whether more is wanted. */
  add(bytes: Uint8Array): boolean {
    this.#waiting.push(bytes);
    return this.#tell();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** The same as `add`. */
  goOn(): boolean {
    this.#isStopped = false;
    return this.#tell();
  }

  forget(): void {
    this.#waiting.length = 0;
    this.#taken = 0;
  }

  #tell(): boolean {
    // The callback may pause and resume: the loop that called it goes on.
    if (this.#isTelling) return false;
    this.#isTelling = true;
    try {
      while (!this.#isStopped && this.#waiting.length > 0) this.#tellPiece();
    } finally {
      this.#isTelling = false;
    }
    return !this.#isStopped;
  }

  #tellPiece(): void {
    const memory = this.#memory;
    const first = this.#waiting[0] as Uint8Array;
    const piece = first.subarray(this.#taken, this.#taken + memory.length);
    memory.set(piece);
    this.#taken += piece.length;
    if (this.#taken === first.length) {
      this.#waiting.shift();
      this.#taken = 0;
    }
    const { buffer, callback } = this.#options;
    if (callback.call(this.#receiver, piece.length, memory) === false) this.#isStopped = true;
    if (typeof buffer === 'function') this.#memory = buffer();
  }
}
