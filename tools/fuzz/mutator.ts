/**
 * Makes new inputs out of old ones. Steps are moved, repeated, dropped and exchanged between inputs; bytes inside of
 * steps are flipped, replaced, or taken from the same place of another step.
 */
import type { Random } from '../../testkit/random.js';

const INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 191, 192, 254, 255];

export class Mutator {
  readonly #random: Random;
  readonly #stepBytes: number;
  readonly #maxBytes: number;
  readonly #buffer: Uint8Array;
  #length = 0;

  constructor(random: Random, stepBytes: number, maxSteps: number) {
    this.#random = random;
    this.#stepBytes = stepBytes;
    this.#maxBytes = stepBytes * maxSteps;
    this.#buffer = new Uint8Array(this.#maxBytes);
  }

  /** An input that owes nothing to others. */
  fresh(): Uint8Array {
    const steps = 1 + this.#random.below(this.#maxBytes / this.#stepBytes);
    const input = new Uint8Array(steps * this.#stepBytes);
    this.#random.fill(input);
    // Zeros choose the usual, so that some steps of a fresh input get through to where others can do harm.
    for (let at = 0; at < input.length; at += this.#stepBytes) {
      if (this.#random.oneIn(2))
        input.fill(0, at + this.#random.below(this.#stepBytes), at + this.#stepBytes);
    }
    return input;
  }

  mutate(corpus: readonly Uint8Array[]): Uint8Array {
    this.#load(this.#pick(corpus));
    const rounds = 1 << this.#random.below(5);
    for (let i = 0; i < rounds; i++) this.#once(corpus);
    return this.#buffer.slice(0, this.#length);
  }

  #pick(corpus: readonly Uint8Array[]): Uint8Array {
    // Half of the time one of the newest, which no descendant has been tried of yet.
    const from = this.#random.oneIn(2) ? Math.max(0, corpus.length - 16) : 0;
    return corpus[from + this.#random.below(corpus.length - from)] as Uint8Array;
  }

  #load(input: Uint8Array): void {
    this.#length = Math.min(input.length, this.#maxBytes);
    this.#buffer.set(input.subarray(0, this.#length));
  }

  #once(corpus: readonly Uint8Array[]): void {
    const random = this.#random;
    const size = this.#stepBytes;
    const steps = Math.max(1, Math.floor(this.#length / size));
    const at = random.below(steps) * size;
    switch (random.below(10)) {
      case 0:
        this.#flip(1 << random.below(8));
        break;
      case 1:
        this.#buffer[random.below(this.#length)] = random.u32();
        break;
      case 2:
        this.#buffer[random.below(this.#length)] = INTERESTING[random.below(INTERESTING.length)] as number;
        break;
      case 3:
        this.#buffer.copyWithin(at + random.below(size), random.below(steps) * size, this.#length);
        break;
      case 4:
        this.#remove(at, size);
        break;
      case 5:
        this.#insert(at, this.#buffer.slice(at, at + size), 1 + random.below(4));
        break;
      case 6:
        random.fill(this.#buffer, at, Math.min(at + size, this.#length));
        break;
      case 7:
        this.#insert(at, this.#foreignSteps(corpus), 1);
        break;
      case 8:
        this.#sameField(at, random.below(steps) * size);
        break;
      default:
        this.#crossOver(this.#pick(corpus));
    }
    if (this.#length === 0) this.#length = size;
  }

  #flip(mask: number): void {
    const at = this.#random.below(this.#length);
    this.#buffer[at] = (this.#buffer[at] as number) ^ mask;
  }

  #remove(at: number, length: number): void {
    const end = Math.min(at + length, this.#length);
    this.#buffer.copyWithin(at, end, this.#length);
    this.#length -= end - at;
  }

  #insert(at: number, part: Uint8Array, times: number): void {
    for (let i = 0; i < times; i++) {
      const length = Math.min(part.length, this.#maxBytes - this.#length);
      this.#buffer.copyWithin(at + length, at, this.#length);
      this.#buffer.set(part.subarray(0, length), at);
      this.#length += length;
    }
  }

  /** A few steps of another input. */
  #foreignSteps(corpus: readonly Uint8Array[]): Uint8Array {
    const other = this.#pick(corpus);
    const from =
      this.#random.below(Math.max(1, Math.floor(other.length / this.#stepBytes))) * this.#stepBytes;
    return other.slice(from, from + this.#stepBytes * (1 + this.#random.below(6)));
  }

  /** Copies a few bytes of one step to the same place of another. */
  #sameField(from: number, to: number): void {
    const offset = this.#random.below(this.#stepBytes);
    const length = Math.min(1 + this.#random.below(4), this.#stepBytes - offset);
    if (Math.max(from, to) + offset + length > this.#length) return;
    this.#buffer.copyWithin(to + offset, from + offset, from + offset + length);
  }

  /** Goes on as another input does. */
  #crossOver(other: Uint8Array): void {
    const steps = Math.min(this.#length, other.length) / this.#stepBytes;
    const at = this.#random.below(Math.max(1, steps)) * this.#stepBytes;
    const end = Math.min(other.length, this.#maxBytes);
    if (end <= at) return;
    this.#buffer.set(other.subarray(at, end), at);
    this.#length = end;
  }
}
