/**
 * Views of parts of a buffer, kept for the next time that the same part is asked for: a port receives into the same
 * places of one buffer again and again, and making a view costs more than copying a short payload.
 *
 * Invariant: a view that is returned is of the buffer, place and length that were asked for, whatever is kept. A buffer
 * that is seen only once, as those of ports that get a new one for each datagram, is not kept.
 */
const PLACES = 256;
const HASH_SHIFT = 24;
/** Spreads places that are powers of two or packets apart. */
const HASH_FACTOR = 0x9e3779b1;
const NOTHING: Uint8Array = new Uint8Array(0);

export class ViewCache {
  #bytes: Uint8Array = NOTHING;
  readonly #views = new Array<Uint8Array>(PLACES).fill(NOTHING);
  #isEmpty = true;

  /** The part [at, at + length) of `bytes`, which has it. */
  view(bytes: Uint8Array, at: number, length: number): Uint8Array {
    if (bytes !== this.#bytes) {
      this.#begin(bytes);
      return bytes.subarray(at, at + length);
    }
    const place = Math.imul(at, HASH_FACTOR) >>> HASH_SHIFT;
    const kept = this.#views[place] as Uint8Array;
    if (kept.length === length && kept.byteOffset === bytes.byteOffset + at) return kept;
    const view = bytes.subarray(at, at + length);
    this.#views[place] = view;
    this.#isEmpty = false;
    return view;
  }

  #begin(bytes: Uint8Array): void {
    this.#bytes = bytes;
    if (this.#isEmpty) return;
    this.#views.fill(NOTHING);
    this.#isEmpty = true;
  }
}
