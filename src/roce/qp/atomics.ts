/**
 * The two atomics on 64-bit memory values, in 32-bit halves: BigInt would allocate. Memory holds values in the host's
 * order, which is little-endian on every platform that Node.js runs the native device on.
 */
import type { SavedOperation } from './saved-operations.js';

const readLow = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0;

function writeLow(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Writes a 64-bit value as the host would store it. */
export function writeHostU64(bytes: Uint8Array, at: number, high: number, low: number): void {
  writeLow(bytes, at, low);
  writeLow(bytes, at + 4, high);
}

/** Carries the operation out, and keeps the value from before it in `saved`. */
export function executeAtomic(
  saved: SavedOperation,
  bytes: Uint8Array,
  at: number,
  isCompareSwap: boolean,
  swapAddHigh: number,
  swapAddLow: number,
  compareHigh: number,
  compareLow: number,
): void {
  const low = readLow(bytes, at);
  const high = readLow(bytes, at + 4);
  saved.originalHigh = high;
  saved.originalLow = low;
  if (isCompareSwap) {
    if (high === compareHigh && low === compareLow) writeHostU64(bytes, at, swapAddHigh, swapAddLow);
    return;
  }
  const sumLow = low + swapAddLow;
  const carry = sumLow > 0xffffffff ? 1 : 0;
  writeHostU64(bytes, at, (high + swapAddHigh + carry) >>> 0, sumLow >>> 0);
}
