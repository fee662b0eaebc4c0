/**
 * What perftest 6.06 writes to its TCP connection, byte by byte (`ib_send_lat` and its relatives, without RDMA-CM).
 * Every exchange goes both ways: the client writes first and then reads, the server the other way round.
 *
 * Nothing here is trusted: what does not parse ends the measurement with ERR_RDMA_PROTOCOL.
 */
import {
  PSN_MASK,
  type Psn,
  QPN_MASK,
  type Qpn,
  type RKey,
  toPsn,
  toQpn,
  toRKey,
} from '../../verbs/brands.js';
import { RdmaError } from '../../verbs/errors.js';
import { mtuFromEnum, mtuToEnum, type PathMtu } from '../../verbs/mtu.js';
import { gidFromHex, gidToHex } from '../gid-hex.js';

/** The version whose exchanges these are. The stock tools refuse those below 5.70. */
const VERSION = '6.06';
const OLDEST_VERSION = 5.7;
export const VERSION_BYTES = 16;
export const MTU_BYTES = 2;
/** Over TCP, with a GID, its NUL included. */
export const RECORD_BYTES = 108;
export const DONE = Buffer.from('done\0');

/** What one end tells about its queue pair; repeated unchanged whenever the ends wait for each other. */
export interface PerftestRecord {
  readonly lid: number;
  /** READs that it can hold as responder. */
  readonly outReads: number;
  readonly qpn: Qpn;
  readonly psn: Psn;
  readonly rkey: RKey;
  /** Of the memory that the peer writes to or reads from. */
  readonly vaddr: bigint;
  /** IPv6 text. */
  readonly gid: string;
}

const BYTE_PAIRS = ':([\\da-f]{2})'.repeat(16);
const RECORD = new RegExp(
  `^([\\da-f]{4}):([\\da-f]{4}):([\\da-f]{6}):([\\da-f]{6}):([\\da-f]{8}):([\\da-f]{16})${BYTE_PAIRS}:[\\da-f]{8}:\\0$`,
);

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

export function formatRecord({ lid, outReads, qpn, psn, rkey, vaddr, gid }: PerftestRecord): Buffer {
  const gidBytes = (gidToHex(gid).match(/../g) ?? []).join(':');
  const numbers = [hex(lid, 4), hex(outReads, 4), hex(qpn, 6), hex(psn, 6), hex(rkey, 8), hex(vaddr, 16)];
  // The last number is that of a shared receive queue, which RC does not need.
  return Buffer.from(`${numbers.join(':')}:${gidBytes}:${hex(0, 8)}:\0`, 'latin1');
}

/** @throws RdmaError ERR_RDMA_PROTOCOL. */
export function parseRecord(message: Buffer): PerftestRecord {
  const [, ...fields] = RECORD.exec(message.toString('latin1')) ?? [];
  const [lid, outReads, qpn, psn, rkey, vaddr, ...gid] = fields;
  if (vaddr === undefined) throw notPerftest('its address is not one with a GID; give the stock tool -x');
  const number = (digits: string | undefined): number => Number.parseInt(digits ?? '', 16);
  return {
    lid: number(lid),
    outReads: number(outReads),
    qpn: toQpn(number(qpn)),
    psn: toPsn(number(psn)),
    rkey: toRKey(number(rkey)),
    vaddr: BigInt(`0x${vaddr}`),
    gid: gidFromHex(gid.join('')),
  };
}

/** `struct pingpong_dest` of x86-64, as the tools send it by rdma_cm: all zeros before there is a queue pair to tell of. */
export const CM_RECORD_BYTES = 56;
const OUT_READS_AT = 4;
const QPN_AT = 8;
const PSN_AT = 12;
const RKEY_AT = 16;
const VADDR_AT = 24;
const GID_AT = 32;
const GID_BYTES = 16;

export function formatCmRecord({ lid, outReads, qpn, psn, rkey, vaddr, gid }: PerftestRecord): Buffer {
  const bytes = Buffer.alloc(CM_RECORD_BYTES);
  bytes.writeUInt32BE(lid);
  bytes.writeUInt32BE(outReads, OUT_READS_AT);
  bytes.writeUInt32BE(qpn, QPN_AT);
  bytes.writeUInt32BE(psn, PSN_AT);
  bytes.writeUInt32BE(rkey, RKEY_AT);
  bytes.writeBigUInt64BE(vaddr, VADDR_AT);
  bytes.write(gidToHex(gid), GID_AT, GID_BYTES, 'hex');
  return bytes;
}

/** @throws RdmaError ERR_RDMA_PROTOCOL. */
export function parseCmRecord(bytes: Buffer): PerftestRecord {
  const qpn = bytes.readUInt32BE(QPN_AT);
  const psn = bytes.readUInt32BE(PSN_AT);
  if (qpn > QPN_MASK || psn > PSN_MASK) throw notPerftest('its queue pair has no number of 24 bits');
  return {
    lid: bytes.readUInt32BE(),
    outReads: bytes.readUInt32BE(OUT_READS_AT),
    qpn: qpn as Qpn,
    psn: psn as Psn,
    rkey: toRKey(bytes.readUInt32BE(RKEY_AT)),
    vaddr: bytes.readBigUInt64BE(VADDR_AT),
    gid: gidFromHex(bytes.toString('hex', GID_AT, GID_AT + GID_BYTES)),
  };
}

export function formatVersion(): Buffer {
  const bytes = Buffer.alloc(VERSION_BYTES);
  bytes.write(VERSION, 'latin1');
  return bytes;
}

/** @throws RdmaError ERR_RDMA_PROTOCOL for a version that has other exchanges. */
export function checkVersion(bytes: Buffer): void {
  const [text] = /^\d+\.\d+/.exec(bytes.toString('latin1')) ?? [];
  if (text === undefined) throw notPerftest('it names no version');
  if (Number(text) < OLDEST_VERSION) throw notPerftest(`it is version ${text}, which is too old`);
}

/** Numbers that both ends take the larger of. */
export function formatNumber(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const formatMtu = (mtu: PathMtu): Buffer => Buffer.from(`${mtuToEnum(mtu)}\0`, 'latin1');

/** @throws RdmaError ERR_RDMA_PROTOCOL. */
export function parseMtu(bytes: Buffer): PathMtu {
  const [digit] = /^[1-5]/.exec(bytes.toString('latin1')) ?? [];
  if (digit === undefined) throw notPerftest('it names no path MTU');
  return mtuFromEnum(Number(digit));
}

/** What the ends of a one-sided bandwidth measurement tell each other about it; five numbers of 8 bytes. */
export interface BandwidthReport {
  readonly sizeBytes: number;
  readonly iterations: number;
  /** MiB/s. */
  readonly peak: number;
  readonly average: number;
  /** Millions of messages a second. */
  readonly messageRate: number;
}

export function formatReport(report: BandwidthReport): Buffer[] {
  const numbers = [report.sizeBytes, report.iterations].map((value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  });
  const doubles = [report.peak, report.average, report.messageRate].map((value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return bytes;
  });
  return [...numbers, ...doubles];
}

export function parseReport([size, iterations, peak, average, rate]: readonly Buffer[]): BandwidthReport {
  return {
    sizeBytes: Number(size?.readBigUInt64BE() ?? 0n),
    iterations: Number(iterations?.readBigUInt64BE() ?? 0n),
    peak: peak?.readDoubleBE() ?? 0,
    average: average?.readDoubleBE() ?? 0,
    messageRate: rate?.readDoubleBE() ?? 0,
  };
}

export const notPerftest = (why: string): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the peer does not speak the protocol of perftest: ${why}`);
