/**
 * Immediate data: 4 bytes that the device hands on unread. Here they are one unsigned number, most significant byte
 * first, so that the number that was posted is the number that arrives.
 */
import { readU32, writeU32 } from './bytes.js';

export const IMM_DT_LENGTH = 4;

export const writeImmDt = (bytes: Uint8Array, at: number, imm: number): void => writeU32(bytes, at, imm);
export const immDt = (bytes: Uint8Array, at: number): number => readU32(bytes, at);
