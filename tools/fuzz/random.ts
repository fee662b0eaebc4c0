/** The randomness of a campaign: a seeded generator (xorshift128), so that a seed and a count are a whole run. */
export class Random {
  #a: number;
  #b: number;
  #c = 0x9e3779b9 | 0;
  #d = 0x6a09e667 | 0;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    for (let i = 0; i < 16; i++) this.u32();
  }

  readonly u32 = (): number => {
    let t = this.#d;
    t ^= t << 11;
    t ^= t >>> 8;
    this.#d = this.#c;
    this.#c = this.#b;
    this.#b = this.#a;
    this.#a = t ^ this.#a ^ (this.#a >>> 19);
    return this.#a >>> 0;
  };

  /** An integer in [0, n). */
  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  fill(bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    for (let i = from; i < to; i++) bytes[i] = this.u32();
  }
}
