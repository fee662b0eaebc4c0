/**
 * The messages that name a connection by its two communication IDs and say little more.
 *
 *     24-27  communication ID of the sender
 *     28-31  communication ID of the receiver
 *
 *     MRA    patience, please:   32 message (7-6), 33 service timeout (7-3), private data from 34
 *     RTU    the REP is here:    private data from 32
 *     DREQ   disconnect:         32-34 QPN of the receiver, private data from 36
 *     DREP   disconnected:       private data from 32
 */
import { readU24, readU32, writeU24, writeU32 } from '../../wire/bytes.js';
import { PRIVATE_DATA, readPrivateData, writePrivateData } from './attributes.js';

interface PairMessage {
  readonly transactionId: bigint;
  readonly localCommId: number;
  readonly remoteCommId: number;
  readonly privateData: Uint8Array;
}

export interface Mra extends PairMessage {
  readonly type: 'MRA';
  /** A `CmSubject`. */
  readonly subject: number;
  /** A time code. */
  readonly serviceTimeout: number;
}

export interface Rtu extends PairMessage {
  readonly type: 'RTU';
}

export interface Dreq extends PairMessage {
  readonly type: 'DREQ';
  /** Of the receiver's queue pair. */
  readonly qpn: number;
}

export interface Drep extends PairMessage {
  readonly type: 'DREP';
}

const readIds = (mad: Uint8Array) => ({ localCommId: readU32(mad, 24), remoteCommId: readU32(mad, 28) });

function writeIds(mad: Uint8Array, { localCommId, remoteCommId }: PairMessage): void {
  writeU32(mad, 24, localCommId);
  writeU32(mad, 28, remoteCommId);
}

export const readMra = (mad: Uint8Array, transactionId: bigint): Mra => ({
  type: 'MRA',
  transactionId,
  ...readIds(mad),
  subject: (mad[32] as number) >>> 6,
  serviceTimeout: (mad[33] as number) >>> 3,
  privateData: readPrivateData(mad, PRIVATE_DATA.MRA),
});

export function writeMra(mad: Uint8Array, mra: Mra): void {
  writeIds(mad, mra);
  mad[32] = mra.subject << 6;
  mad[33] = mra.serviceTimeout << 3;
  writePrivateData(mad, PRIVATE_DATA.MRA, mra.privateData);
}

export const readRtu = (mad: Uint8Array, transactionId: bigint): Rtu => ({
  type: 'RTU',
  transactionId,
  ...readIds(mad),
  privateData: readPrivateData(mad, PRIVATE_DATA.RTU),
});

export function writeRtu(mad: Uint8Array, rtu: Rtu): void {
  writeIds(mad, rtu);
  writePrivateData(mad, PRIVATE_DATA.RTU, rtu.privateData);
}

export const readDreq = (mad: Uint8Array, transactionId: bigint): Dreq => ({
  type: 'DREQ',
  transactionId,
  ...readIds(mad),
  qpn: readU24(mad, 32),
  privateData: readPrivateData(mad, PRIVATE_DATA.DREQ),
});

export function writeDreq(mad: Uint8Array, dreq: Dreq): void {
  writeIds(mad, dreq);
  writeU24(mad, 32, dreq.qpn);
  writePrivateData(mad, PRIVATE_DATA.DREQ, dreq.privateData);
}

export const readDrep = (mad: Uint8Array, transactionId: bigint): Drep => ({
  type: 'DREP',
  transactionId,
  ...readIds(mad),
  privateData: readPrivateData(mad, PRIVATE_DATA.DREP),
});

export function writeDrep(mad: Uint8Array, drep: Drep): void {
  writeIds(mad, drep);
  writePrivateData(mad, PRIVATE_DATA.DREP, drep.privateData);
}
