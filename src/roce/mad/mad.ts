/**
 * Management datagram (MAD): 24 bytes of header and 232 bytes of the message that it carries.
 *
 *     0      base version, 1
 *     1      management class
 *     2      class version
 *     3      method
 *     4-5    status
 *     6-7    class specific: the UDP port of a sender whose device is not at 4791, else 0
 *     8-15   transaction ID, which answers repeat
 *     16-17  attribute ID: which message it is
 *     18-19  reserved
 *     20-23  attribute modifier
 *
 * Invariants: a MAD is 256 bytes long, neither more nor less: a longer one stops queue pair 1 of a Linux kernel for
 * good, so none is ever made, and none is taken. Status and modifier are written 0 and ignored. Nobody but devices of
 * this package looks at the class specific bytes; on the standard port they are 0, as everywhere.
 */
import { readU16, writeU16 } from '../wire/bytes.js';
import { readU64, writeU64 } from './u64.js';

export const MAD_BYTES = 256;
export const MAD_BASE_VERSION = 1;

export const MadMethod = { SEND: 0x03 } as const;
export const MadClass = { COMMUNICATION_MANAGEMENT: 0x07 } as const;

/** A MAD with its header, and zeros behind it. */
export function newMad(
  managementClass: number,
  classVersion: number,
  method: number,
  transactionId: bigint,
  attributeId: number,
): Uint8Array {
  const mad = new Uint8Array(MAD_BYTES);
  mad[0] = MAD_BASE_VERSION;
  mad[1] = managementClass;
  mad[2] = classVersion;
  mad[3] = method;
  writeU64(mad, 8, transactionId);
  writeU16(mad, 16, attributeId);
  return mad;
}

export const madBaseVersion = (mad: Uint8Array): number => mad[0] as number;
export const madClass = (mad: Uint8Array): number => mad[1] as number;
export const madClassVersion = (mad: Uint8Array): number => mad[2] as number;
export const madMethod = (mad: Uint8Array): number => mad[3] as number;
export const madTransactionId = (mad: Uint8Array): bigint => readU64(mad, 8);
/** 0 = the standard port. */
export const madUdpPort = (mad: Uint8Array): number => readU16(mad, 6);
export const madAttributeId = (mad: Uint8Array): number => readU16(mad, 16);

/** Tells the receiver where the sender's device is, if that is not the standard port. */
export function writeMadUdpPort(mad: Uint8Array, port: number): void {
  writeU16(mad, 6, port);
}
