/** Big-endian 64-bit fields of management datagrams as `bigint`. Not for packets of the data path, which have none. */
import { readU32, writeU32 } from '../wire/bytes.js';

const LOW_WORD = 0xffffffffn;

export const readU64 = (bytes: Uint8Array, at: number): bigint =>
  (BigInt(readU32(bytes, at)) << 32n) | BigInt(readU32(bytes, at + 4));

export function writeU64(bytes: Uint8Array, at: number, value: bigint): void {
  writeU32(bytes, at, Number((value >> 32n) & LOW_WORD));
  writeU32(bytes, at + 4, Number(value & LOW_WORD));
}
