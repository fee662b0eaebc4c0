/**
 * RDMA extended transport header: the remote memory of a WRITE or READ request.
 *
 *     0-7    virtual address
 *     8-11   R_Key
 *     12-15  length of the whole message in bytes
 */
import { readU32, readVa, writeU32, writeVa } from './bytes.js';

export const RETH_LENGTH = 16;

/** `vaHigh` as in `writeVa`. */
export function writeReth(
  bytes: Uint8Array,
  at: number,
  va: number,
  rkey: number,
  length: number,
  vaHigh = 0,
): void {
  writeVa(bytes, at, va, vaHigh);
  writeU32(bytes, at + 8, rkey);
  writeU32(bytes, at + 12, length);
}

/** -1 where the address is above Number.MAX_SAFE_INTEGER: no region of ours can lie there. */
export const rethVa = (bytes: Uint8Array, at: number): number => readVa(bytes, at);
export const rethRkey = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 8);
export const rethLength = (bytes: Uint8Array, at: number): number => readU32(bytes, at + 12);
