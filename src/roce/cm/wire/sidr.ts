/**
 * SIDR: which queue pair takes the datagrams of a service. A question and an answer, no connection.
 *
 *     SIDR_REQ                                SIDR_REP
 *     24-27  request ID                       24-27  request ID of the question
 *     28-29  P_Key                            28     status
 *     32-39  service ID                       29     length of the information
 *     40-255 private data                     32-34  QPN
 *                                             36-43  service ID
 *                                             44-47  Q_Key
 *                                             48-119 information
 *                                             120-255 private data
 *
 * Invariant: vendor ID and information of a SIDR_REP are written 0 and ignored.
 */
import { readU64, writeU64 } from '../../mad/u64.js';
import { readU16, readU24, readU32, writeU16, writeU24, writeU32 } from '../../wire/bytes.js';
import { PRIVATE_DATA, readPrivateData, writePrivateData } from './attributes.js';

export const SidrStatus = {
  SUCCESS: 0,
  NO_SERVICE: 1,
  REJECTED: 2,
  NO_QP: 3,
  REDIRECTED: 4,
  BAD_VERSION: 5,
} as const;

export interface SidrReq {
  readonly type: 'SIDR_REQ';
  readonly transactionId: bigint;
  readonly requestId: number;
  readonly pkey: number;
  readonly serviceId: bigint;
  /** With the CMA header at its front, where the service has one. */
  readonly privateData: Uint8Array;
}

export interface SidrRep {
  readonly type: 'SIDR_REP';
  readonly transactionId: bigint;
  readonly requestId: number;
  readonly status: number;
  readonly qpn: number;
  readonly serviceId: bigint;
  readonly qkey: number;
  readonly privateData: Uint8Array;
}

export const readSidrReq = (mad: Uint8Array, transactionId: bigint): SidrReq => ({
  type: 'SIDR_REQ',
  transactionId,
  requestId: readU32(mad, 24),
  pkey: readU16(mad, 28),
  serviceId: readU64(mad, 32),
  privateData: readPrivateData(mad, PRIVATE_DATA.SIDR_REQ),
});

export function writeSidrReq(mad: Uint8Array, req: SidrReq): void {
  writeU32(mad, 24, req.requestId);
  writeU16(mad, 28, req.pkey);
  writeU64(mad, 32, req.serviceId);
  writePrivateData(mad, PRIVATE_DATA.SIDR_REQ, req.privateData);
}

export const readSidrRep = (mad: Uint8Array, transactionId: bigint): SidrRep => ({
  type: 'SIDR_REP',
  transactionId,
  requestId: readU32(mad, 24),
  status: mad[28] as number,
  qpn: readU24(mad, 32),
  serviceId: readU64(mad, 36),
  qkey: readU32(mad, 44),
  privateData: readPrivateData(mad, PRIVATE_DATA.SIDR_REP),
});

export function writeSidrRep(mad: Uint8Array, rep: SidrRep): void {
  writeU32(mad, 24, rep.requestId);
  mad[28] = rep.status;
  writeU24(mad, 32, rep.qpn);
  writeU64(mad, 36, rep.serviceId);
  writeU32(mad, 44, rep.qkey);
  writePrivateData(mad, PRIVATE_DATA.SIDR_REP, rep.privateData);
}
