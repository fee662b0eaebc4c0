/**
 * Registered memory of a simulated program, with a model of what must be in it. The model changes only where a
 * checker has accepted a change; whatever else differs was written by the engine without leave. On both sides lie
 * canaries that no region covers.
 */
import type { Region, RemoteGrant } from '../../src/roce/memory/region.js';
import type { Nic } from '../../src/roce/nic.js';
import type { Random } from '../../testkit/random.js';
import { expect } from './failure.js';

const CANARY_BYTES = 64;
const CHECKER = 'memory';

export interface Piece {
  readonly offset: number;
  readonly length: number;
}

export class Arena {
  readonly name: string;
  readonly nic: Nic;
  readonly region: Region;
  readonly grant: RemoteGrant | null;
  readonly bytes: Uint8Array;
  readonly model: Uint8Array;
  readonly #backing: Uint8Array;
  readonly #random: Random;
  /** Ranges whose content nobody can foretell, because what would have written them failed. */
  readonly #unknown: Piece[] = [];
  #used = 0;
  /** Deregistered: nothing may change any more. */
  closed = false;

  constructor(name: string, nic: Nic, length: number, access: number, pd: number, random: Random) {
    this.name = name;
    this.nic = nic;
    this.#random = random;
    this.#backing = new Uint8Array(length + 2 * CANARY_BYTES);
    fillPattern(this.#backing, 0, this.#backing.length, random.u32());
    this.bytes = this.#backing.subarray(CANARY_BYTES, CANARY_BYTES + length);
    this.model = this.bytes.slice();
    this.#before = this.#backing.slice(0, CANARY_BYTES);
    this.#behind = this.#backing.slice(CANARY_BYTES + length);
    const { region, grant } = nic.regions.register(this.bytes, access, pd);
    this.region = region;
    this.grant = grant;
  }

  readonly #before: Uint8Array;
  readonly #behind: Uint8Array;

  /** Takes unused memory in `count` pieces, not always in ascending order, with gaps between them. */
  take(length: number, count: number, align = 1): Piece[] {
    const pieces: Piece[] = [];
    let left = length;
    for (let i = 0; i < count; i++) {
      const share =
        i === count - 1 ? left : this.#random.int(0, Math.min(left, Math.ceil(length / count) * 2));
      left -= share;
      let offset = this.#used + this.#random.int(0, 8);
      if (align > 1) offset = Math.ceil(offset / align) * align;
      this.#used = offset + share;
      pieces.push({ offset, length: share });
    }
    if (this.#used > this.bytes.length) throw new Error(`arena ${this.name} is too small`);
    return pieces;
  }

  /** What `take(length, count)` may need at most. */
  static need(length: number, count: number): number {
    return length + count * 16 + 16;
  }

  /** The program itself writes. */
  write(pieces: readonly Piece[], key: number): void {
    for (const [index, piece] of pieces.entries()) {
      fillPattern(this.bytes, piece.offset, piece.length, (key + index * 7919) | 0);
      this.accept(piece.offset, piece.length);
    }
  }

  /** What is in memory now is what must be there from now on. */
  accept(offset: number, length: number): void {
    this.model.set(this.bytes.subarray(offset, offset + length), offset);
  }

  forget(pieces: readonly Piece[]): void {
    this.#unknown.push(...pieces);
  }

  deregister(): void {
    if (this.closed) return;
    this.closed = true;
    this.nic.regions.deregister(this.region);
  }

  /** Every byte that no checker has accepted or given up must be as it was. */
  verify(when: string): void {
    for (const piece of this.#unknown) this.accept(piece.offset, piece.length);
    this.#unknown.length = 0;
    const at = firstDifference(this.bytes, this.model, 0, this.bytes.length);
    expect(
      at < 0,
      CHECKER,
      () => `${when}: byte ${at} of ${this.name} is ${this.bytes[at]} and must be ${this.model[at]}`,
    );
    const end = CANARY_BYTES + this.bytes.length;
    const intact =
      equalBytes(this.#backing.subarray(0, CANARY_BYTES), this.#before) &&
      equalBytes(this.#backing.subarray(end), this.#behind);
    expect(intact, CHECKER, () => `${when}: memory beside ${this.name} was written`);
  }
}

export function fillPattern(bytes: Uint8Array, at: number, length: number, key: number): void {
  let state = Math.imul(key ^ 0x5bd1e995, 0x9e3779b1) | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at + i] = state >>> 3;
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => asBuffer(a).equals(asBuffer(b));

/** Index of the first byte in [from, to) that differs, or -1. */
export function firstDifference(a: Uint8Array, b: Uint8Array, from: number, to: number): number {
  if (equalBytes(a.subarray(from, to), b.subarray(from, to))) return -1;
  for (let i = from; i < to; i++) if (a[i] !== b[i]) return i;
  return -1;
}
