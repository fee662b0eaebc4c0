/** Invalidate extended transport header: the R_Key that the receiver of a SEND_WITH_INV shall invalidate. */
import { readU32, writeU32 } from './bytes.js';

export const IETH_LENGTH = 4;

export const writeIeth = (bytes: Uint8Array, at: number, rkey: number): void => writeU32(bytes, at, rkey);
export const iethRkey = (bytes: Uint8Array, at: number): number => readU32(bytes, at);
