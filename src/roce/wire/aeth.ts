/**
 * ACK extended transport header: the responder's verdict.
 *
 *     0      syndrome: kind (bits 7-5), then a credit code, an RNR timer code or a NAK code (4-0)
 *     1-3    MSN: the count of request messages that the responder has completed
 *
 * Invariants: all 256 syndromes have a kind. The reserved bit 7 makes a syndrome RESERVED, and so do the codes of a NAK
 * that RC does not know.
 */
import { readU24, writeU24 } from './bytes.js';

export const AETH_LENGTH = 4;

export const Syndrome = {
  /** ACK that says nothing about receives at the responder. */
  ACK: 0x1f,
  /** Plus a timer code in the low 5 bits. */
  RNR_NAK: 0x20,
  NAK_SEQUENCE: 0x60,
  NAK_INVALID_REQUEST: 0x61,
  NAK_REMOTE_ACCESS: 0x62,
  NAK_REMOTE_OPERATION: 0x63,
} as const;
export type Syndrome = (typeof Syndrome)[keyof typeof Syndrome];

export const SyndromeKind = { ACK: 0, RNR: 1, NAK: 2, RESERVED: 3 } as const;
export type SyndromeKind = (typeof SyndromeKind)[keyof typeof SyndromeKind];

export function syndromeKind(syndrome: number): SyndromeKind {
  if (syndrome <= 0x1f) return SyndromeKind.ACK;
  if (syndrome <= 0x3f) return SyndromeKind.RNR;
  if (syndrome >= Syndrome.NAK_SEQUENCE && syndrome <= Syndrome.NAK_REMOTE_OPERATION) return SyndromeKind.NAK;
  return SyndromeKind.RESERVED;
}

export function writeAeth(bytes: Uint8Array, at: number, syndrome: number, msn: number): void {
  bytes[at] = syndrome;
  writeU24(bytes, at + 1, msn);
}

export const aethSyndrome = (bytes: Uint8Array, at: number): number => bytes[at] as number;
export const aethMsn = (bytes: Uint8Array, at: number): number => readU24(bytes, at + 1);

/** The low 5 bits: credit code, RNR timer code or NAK code, by the kind of the syndrome. */
export const syndromeCode = (syndrome: number): number => syndrome & 0x1f;

/** Credit code to receives available at the responder; -1 (code 31) = it does not say. */
export const creditCount: Int32Array = Int32Array.of(
  ...[0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192],
  ...[256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, -1],
);

/** RNR timer code (also the attribute `minRnrTimer`) to the wait in microseconds; code 0 is the longest. */
export const rnrTimerMicros: Float64Array = Float64Array.of(
  ...[655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920],
  ...[2560, 3840, 5120, 7680, 10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880],
  ...[163_840, 245_760, 327_680, 491_520],
);
