/**
 * Headers of atomic operations. AtomicETH, in COMPARE_SWAP and FETCH_ADD requests:
 *
 *     0-7    virtual address
 *     8-11   R_Key
 *     12-19  value to swap in, or to add
 *     20-27  value to compare with (FETCH_ADD: unused)
 *
 * AtomicAckETH, in the answer, after the AETH: bytes 0-7 hold the value that was there before.
 *
 * Invariant: 64-bit values are two unsigned words of 32 bits, since a number cannot hold them and a bigint allocates.
 */
import { readU32, readVa, writeU32, writeVa } from './bytes.js';

export const ATOMIC_ETH_LENGTH = 28;
export const ATOMIC_ACK_ETH_LENGTH = 8;

/** `vaHigh` as in `writeVa`. */
export function writeAtomicEth(
  bytes: Uint8Array,
  at: number,
  va: number,
  rkey: number,
  swapAddHi: number,
  swapAddLo: number,
  compareHi: number,
  compareLo: number,
  vaHigh = 0,
): void {
  writeVa(bytes, at, va, vaHigh);
  writeU32(bytes, at + 8, rkey);
  writeU32(bytes, at + 12, swapAddHi);
  writeU32(bytes, at + 16, swapAddLo);
  writeU32(bytes, at + 20, compareHi);
  writeU32(bytes, at + 24, compareLo);
}

/** -1 where the address is above Number.MAX_SAFE_INTEGER. */
export const atomicVa = (bytes: Uint8Array, at: number): number => readVa(bytes, at);
export const atomicRkey = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 8);
export const atomicSwapAddHi = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 12);
export const atomicSwapAddLo = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 16);
export const atomicCompareHi = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 20);
export const atomicCompareLo = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 24);

export function writeAtomicAckEth(
  bytes: Uint8Array,
  at: number,
  originalHi: number,
  originalLo: number,
): void {
  writeU32(bytes, at, originalHi);
  writeU32(bytes, at + 4, originalLo);
}

export const atomicAckOriginalHi = (bytes: Uint8Array, at: number): number => readU32(bytes, at);
export const atomicAckOriginalLo = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 4);
