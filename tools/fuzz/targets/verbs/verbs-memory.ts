/**
 * The memory of the program under test: pieces of one arena with guards between them. A piece that is registered may
 * change as its rights allow; a guard, a piece that nobody may write, and a piece whose region was closed never change.
 */
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import { must } from '../../target.js';

const GUARD_BYTES = 64;
const WRITERS = AccessFlags.LOCAL_WRITE;

interface Piece {
  readonly at: number;
  readonly length: number;
  /** Of the region on it; 0 = none, or closed. */
  access: number;
}

export class VerbsMemory {
  readonly #arena: Uint8Array;
  readonly #shadow: Uint8Array;
  readonly #pieces: Piece[] = [];
  #end = GUARD_BYTES;

  constructor(lengthBytes: number) {
    this.#arena = new Uint8Array(lengthBytes);
    this.#shadow = new Uint8Array(lengthBytes);
  }

  /** Forgets all pieces. */
  reset(): void {
    this.#arena.fill(0x5a);
    this.#shadow.fill(0x5a);
    this.#pieces.length = 0;
    this.#end = GUARD_BYTES;
  }

  /** A new piece, or `null` when the arena is used up. */
  carve(length: number): { readonly bytes: Uint8Array; readonly piece: number } | null {
    if (this.#end + length + GUARD_BYTES > this.#arena.length) return null;
    const bytes = this.#arena.subarray(this.#end, this.#end + length);
    const piece = this.#pieces.push({ at: this.#end, length, access: 0 }) - 1;
    this.#end += length + GUARD_BYTES;
    return { bytes, piece };
  }

  /** The piece is registered with these rights, or with 0 no more. */
  grant(piece: number, access: number): void {
    this.check('what came before');
    (this.#pieces[piece] as Piece).access = access;
  }

  check(what: string): void {
    if (Buffer.compare(this.#arena, this.#shadow) === 0) return;
    for (const { at, length, access } of this.#pieces) {
      if ((access & WRITERS) !== 0) this.#shadow.set(this.#arena.subarray(at, at + length), at);
    }
    must(Buffer.compare(this.#arena, this.#shadow) === 0, `no memory changes that must not, by ${what}`);
  }
}
