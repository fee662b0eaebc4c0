/**
 * An entry of the iomap table, which lies right behind the table of receive buffers: memory of the peer that this end may
 * write at any time. In the byte order of the table's owner:
 *
 *     0-7    offset by which programs name the first byte
 *     8-15   address
 *     16-19  rkey
 *     20-23  length; 0 = no longer
 *
 * Invariant: offsets and addresses that a number cannot hold read as -1.
 */
import { readAddress, writeAddress } from './wide-number.js';

export const IOMAP_ENTRY_BYTES = 24;

export interface IomapEntry {
  readonly offset: number;
  readonly addr: number;
  readonly rkey: number;
  readonly bytes: number;
}

export const readIomapEntry = (view: DataView, at: number, isBigEndian: boolean): IomapEntry => ({
  offset: readAddress(view, at, !isBigEndian),
  addr: readAddress(view, at + 8, !isBigEndian),
  rkey: view.getUint32(at + 16, !isBigEndian),
  bytes: view.getUint32(at + 20, !isBigEndian),
});

export function writeIomapEntry(view: DataView, at: number, isBigEndian: boolean, entry: IomapEntry): void {
  writeAddress(view, at, entry.offset, !isBigEndian);
  writeAddress(view, at + 8, entry.addr, !isBigEndian);
  view.setUint32(at + 16, entry.rkey, !isBigEndian);
  view.setUint32(at + 20, entry.bytes, !isBigEndian);
}
