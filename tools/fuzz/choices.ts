/**
 * An input read as a list of choices: whoever builds something hostile asks for the next number, and mutations of the
 * bytes become mutations of what is built.
 *
 * Invariants: every byte string is a legal list, since it is followed by zeros without end; 0 always chooses the first,
 * usual item, so that shorter inputs are simpler ones.
 */
export class Choices {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;

  /** Reads bytes[at, end) from now on. */
  reset(bytes: Uint8Array, at = 0, end: number = bytes.length): this {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = Math.min(end, bytes.length);
    return this;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  u8(): number {
    return this.#at < this.#end ? (this.#bytes[this.#at++] as number) : 0;
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }

  u24(): number {
    return (this.u16() << 8) | this.u8();
  }

  u32(): number {
    return ((this.u16() << 16) | this.u16()) >>> 0;
  }

  /** In [0, n), n at most 65536. */
  below(n: number): number {
    return n <= 1 ? 0 : (n <= 256 ? this.u8() : this.u16()) % n;
  }

  /** True once in `n` times, and never for a 0 byte. */
  oneIn(n: number): boolean {
    return this.u8() % n === n - 1;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
