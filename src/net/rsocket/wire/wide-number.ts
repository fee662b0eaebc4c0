/**
 * 64-bit numbers of the peer as JavaScript numbers: addresses, and offsets of iomap.
 *
 * Invariant: what is too large for an exact number reads as -1, which is no address.
 */

const WORD = 2 ** 32;
const MAX_HIGH = 2 ** 21 - 1;

export function readAddress(view: DataView, at: number, isLittleEndian: boolean): number {
  const high = view.getUint32(isLittleEndian ? at + 4 : at, isLittleEndian);
  const low = view.getUint32(isLittleEndian ? at : at + 4, isLittleEndian);
  return high > MAX_HIGH ? -1 : high * WORD + low;
}

export function writeAddress(view: DataView, at: number, value: number, isLittleEndian: boolean): void {
  view.setUint32(isLittleEndian ? at + 4 : at, Math.floor(value / WORD), isLittleEndian);
  view.setUint32(isLittleEndian ? at : at + 4, value % WORD, isLittleEndian);
}

/** Whether all bytes from `address` on have addresses that a number holds. */
export const isAddressRange = (address: number, bytes: number): boolean =>
  address >= 0 && address <= Number.MAX_SAFE_INTEGER - bytes;
