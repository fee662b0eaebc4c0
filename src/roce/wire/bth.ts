/**
 * Base transport header, which starts every packet.
 *
 *     0      opcode
 *     1      SE (bit 7), MigReq (6), PadCnt (5-4), TVer (3-0)
 *     2-3    P_Key
 *     4      FECN (7), BECN (6), reserved: not covered by the ICRC
 *     5-7    destination QPN
 *     8      AckReq (7), reserved
 *     9-11   PSN
 *
 * Invariants: MigReq and TVer are written 0, P_Key 0xffff. MigReq is ignored on receipt: NICs set it, rxe does not.
 */
import { readU16, readU24, writeU24 } from './bytes.js';

export const BTH_LENGTH = 12;
export const ICRC_LENGTH = 4;
/** The default partition, full member. */
export const DEFAULT_PKEY = 0xffff;

/** `solicited` and `ackReq` are 0 or 1, `padCount` 0 to 3. */
export function writeBth(
  bytes: Uint8Array,
  at: number,
  opcode: number,
  solicited: number,
  padCount: number,
  destQpn: number,
  ackReq: number,
  psn: number,
): void {
  bytes[at] = opcode;
  bytes[at + 1] = (solicited << 7) | (padCount << 4);
  bytes[at + 2] = DEFAULT_PKEY >>> 8;
  bytes[at + 3] = DEFAULT_PKEY;
  bytes[at + 4] = 0;
  // Not by `writeU24`, whose two calls take as long as the rest.
  bytes[at + 5] = destQpn >>> 16;
  bytes[at + 6] = destQpn >>> 8;
  bytes[at + 7] = destQpn;
  bytes[at + 8] = ackReq << 7;
  bytes[at + 9] = psn >>> 16;
  bytes[at + 10] = psn >>> 8;
  bytes[at + 11] = psn;
}

/** Changes the PSN of a header that is already written. */
export function patchPsn(bytes: Uint8Array, at: number, psn: number): void {
  writeU24(bytes, at + 9, psn);
}

/** Changes AckReq (0 or 1) of a header that is already written. */
export function patchAckReq(bytes: Uint8Array, at: number, ackReq: number): void {
  bytes[at + 8] = ackReq << 7;
}

/** Pad bytes that bring a payload of `length` bytes to a multiple of 4. */
export const padCountOf = (length: number): number => -length & 3;

/** Bytes of a packet as a UDP payload: its headers, payload, pad and ICRC. */
export const packetBytes = (headerLength: number, payloadLength: number): number =>
  headerLength + payloadLength + padCountOf(payloadLength) + ICRC_LENGTH;

/** The fields of a header that was received. */
export interface BthFields {
  opcode: number;
  /** 0 or 1, as is `ackReq`. */
  solicited: number;
  padCount: number;
  pkey: number;
  destQpn: number;
  ackReq: number;
  psn: number;
}

/** Reads the header at bytes[at] into `fields`, and returns its TVer. */
export function readBth(fields: BthFields, bytes: Uint8Array, at: number): number {
  const bits = bytes[at + 1] as number;
  fields.opcode = bytes[at] as number;
  fields.solicited = bits >>> 7;
  fields.padCount = (bits >>> 4) & 3;
  fields.pkey = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  fields.destQpn =
    ((bytes[at + 5] as number) << 16) | ((bytes[at + 6] as number) << 8) | (bytes[at + 7] as number);
  fields.ackReq = (bytes[at + 8] as number) >>> 7;
  fields.psn =
    ((bytes[at + 9] as number) << 16) | ((bytes[at + 10] as number) << 8) | (bytes[at + 11] as number);
  return bits & 15;
}

export const bthOpcode = (bytes: Uint8Array, at: number): number => bytes[at] as number;
export const bthSolicited = (bytes: Uint8Array, at: number): number => (bytes[at + 1] as number) >>> 7;
export const bthMigReq = (bytes: Uint8Array, at: number): number => ((bytes[at + 1] as number) >>> 6) & 1;
export const bthPadCount = (bytes: Uint8Array, at: number): number => ((bytes[at + 1] as number) >>> 4) & 3;
export const bthVersion = (bytes: Uint8Array, at: number): number => (bytes[at + 1] as number) & 15;
export const bthPkey = (bytes: Uint8Array, at: number): number => readU16(bytes, at + 2);
export const bthFecn = (bytes: Uint8Array, at: number): number => (bytes[at + 4] as number) >>> 7;
export const bthBecn = (bytes: Uint8Array, at: number): number => ((bytes[at + 4] as number) >>> 6) & 1;
export const bthDestQpn = (bytes: Uint8Array, at: number): number => readU24(bytes, at + 5);
export const bthAckReq = (bytes: Uint8Array, at: number): number => (bytes[at + 8] as number) >>> 7;
export const bthPsn = (bytes: Uint8Array, at: number): number => readU24(bytes, at + 9);
