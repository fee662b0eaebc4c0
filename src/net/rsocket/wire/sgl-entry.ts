/**
 * An entry of the table in which an end of an rsocket hears of the other's receive buffers, in the byte order of the table's
 * owner:
 *
 *     0-7    address
 *     8-11   rkey
 *     12-15  length
 *
 * Invariant: an address that a number cannot hold reads as -1.
 */
import { readAddress, writeAddress } from './wide-number.js';

export const SGL_ENTRY_BYTES = 16;

/** Filled anew for every entry. */
export interface SglEntry {
  addr: number;
  rkey: number;
  bytes: number;
}

export function readSglEntry(view: DataView, at: number, isBigEndian: boolean, into: SglEntry): void {
  into.addr = readAddress(view, at, !isBigEndian);
  into.rkey = view.getUint32(at + 8, !isBigEndian);
  into.bytes = view.getUint32(at + 12, !isBigEndian);
}

export function writeSglEntry(view: DataView, at: number, isBigEndian: boolean, entry: SglEntry): void {
  writeAddress(view, at, entry.addr, !isBigEndian);
  view.setUint32(at + 8, entry.rkey, !isBigEndian);
  view.setUint32(at + 12, entry.bytes, !isBigEndian);
}
