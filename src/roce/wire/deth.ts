/**
 * Datagram extended transport header (UD).
 *
 *     0-3    Q_Key of the destination
 *     4      reserved
 *     5-7    source QPN
 */
import { readU24, readU32, writeU24, writeU32 } from './bytes.js';

export const DETH_LENGTH = 8;

export function writeDeth(bytes: Uint8Array, at: number, qkey: number, sourceQpn: number): void {
  writeU32(bytes, at, qkey);
  bytes[at + 4] = 0;
  writeU24(bytes, at + 5, sourceQpn);
}

export const dethQkey = (bytes: Uint8Array, at: number): number => readU32(bytes, at);
export const dethSourceQpn = (bytes: Uint8Array, at: number): number => readU24(bytes, at + 5);
