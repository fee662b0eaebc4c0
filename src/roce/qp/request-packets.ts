/** Writes the packets of requesters into a batch. Everything about a packet follows from its element and its place. */
import { WrOpcode } from '../../verbs/work-request.js';
import type { Flow } from '../flow.js';
import { psnAdd } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
import { writeAtomicEth } from '../wire/atomic-eth.js';
import { padCountOf, writeBth } from '../wire/bth.js';
import { writeDeth } from '../wire/deth.js';
import { writeIeth } from '../wire/ieth.js';
import { writeImmDt } from '../wire/imm-dt.js';
import {
  ATOMIC_ETH_AT,
  DETH_AT,
  IETH_AT,
  Opcode,
  OpcodeFlag,
  opcodeFlags,
  opcodeHeaderLength,
  opcodeImmOffset,
  RETH_AT,
} from '../wire/opcodes.js';
import { writeReth } from '../wire/reth.js';
import { writeMiddlePackets } from './middle-packets.js';
import type { QpHost } from './qp-host.js';
import { requestOpcode } from './request-opcodes.js';
import type { SendQueue, SendWqe } from './send-queue.js';

// As constants of this file, which compiled code has no need to look up for every packet.
const { RDMA_WRITE, SEND_WITH_IMM, ATOMIC_CMP_AND_SWP } = WrOpcode;
const { RETH, IMM, IETH } = OpcodeFlag;
const FLAGS = opcodeFlags;
const HEADER_LENGTH = opcodeHeaderLength;

/** Packet `index` of a SEND or WRITE. */
export function writeRequest(
  qp: QpHost,
  queue: SendQueue,
  wqe: SendWqe,
  index: number,
  ackReq: number,
  batch: TransmitBatch,
): void {
  const offset = index * qp.mtu;
  const length = Math.min(qp.mtu, wqe.length - offset);
  const isLast = index === wqe.packets - 1;
  const opcode = qp.serviceBits | requestOpcode(wqe.opcode, index === 0, isLast);
  const flags = FLAGS[opcode] as number;
  const headers = batch.headers;
  const at = batch.begin();
  // Only a message that takes a receive can be solicited.
  const solicited = isLast && wqe.solicited && wqe.opcode !== RDMA_WRITE ? 1 : 0;
  const psn = psnAdd(wqe.firstPsn, index);
  writeBth(headers, at, opcode, solicited, padCountOf(length), qp.destQpn, ackReq, psn);
  if ((flags & RETH) !== 0) {
    writeReth(headers, at + RETH_AT, wqe.remoteVaLow, wqe.rkey, wqe.length, wqe.remoteVaHigh);
  }
  if ((flags & IMM) !== 0) writeImmDt(headers, at + (opcodeImmOffset[opcode] as number), wqe.imm);
  if ((flags & IETH) !== 0) writeIeth(headers, at + IETH_AT, wqe.rare.invalidateRkey);
  if (length > 0) queue.sges.gather(wqe.slot, offset, length, batch);
  batch.commit(qp.flow, HEADER_LENGTH[opcode] as number, length);
}

/** `count` packets from `index` on, all in the middle of a SEND or WRITE whose payload is in one piece. None asks for an acknowledgement. */
export function writeRequestRun(
  qp: QpHost,
  queue: SendQueue,
  wqe: SendWqe,
  index: number,
  count: number,
  batch: TransmitBatch,
): void {
  const opcode = qp.serviceBits | requestOpcode(wqe.opcode, false, false);
  const region = queue.sges.regionOf(wqe.slot);
  const offset = queue.sges.offsetOf(wqe.slot) + index * qp.mtu;
  writeMiddlePackets(qp, batch, opcode, psnAdd(wqe.firstPsn, index), region, offset, count);
}

/** The one packet of a UD message. */
export function writeDatagram(qp: QpHost, queue: SendQueue, wqe: SendWqe, batch: TransmitBatch): void {
  const opcode = wqe.opcode === SEND_WITH_IMM ? Opcode.UD_SEND_ONLY_IMM : Opcode.UD_SEND_ONLY;
  const { rare } = wqe;
  const headers = batch.headers;
  const at = batch.begin();
  const solicited = wqe.solicited ? 1 : 0;
  writeBth(headers, at, opcode, solicited, padCountOf(wqe.length), rare.destQpn, 0, wqe.firstPsn);
  // A Q_Key with its highest bit set is a privileged one, and stands for the queue pair's own.
  writeDeth(headers, at + DETH_AT, rare.qkey > 0x7fffffff ? qp.qkey : rare.qkey, qp.qpn);
  if (opcode === Opcode.UD_SEND_ONLY_IMM) {
    writeImmDt(headers, at + (opcodeImmOffset[opcode] as number), wqe.imm);
  }
  if (wqe.length > 0) queue.sges.gather(wqe.slot, 0, wqe.length, batch);
  batch.commit(wqe.flow as Flow, HEADER_LENGTH[opcode] as number, wqe.length);
}

/** A READ request for `packets` packets of the element, beginning with packet `index`. */
export function writeReadRequest(
  qp: QpHost,
  wqe: SendWqe,
  psn: number,
  index: number,
  packets: number,
  batch: TransmitBatch,
): void {
  const offset = index * qp.mtu;
  const length = Math.min(packets * qp.mtu, wqe.length - offset);
  const at = batch.begin();
  writeBth(batch.headers, at, Opcode.RC_READ_REQUEST, 0, 0, qp.destQpn, 1, psn);
  writeReth(batch.headers, at + RETH_AT, wqe.remoteVaLow + offset, wqe.rkey, length, wqe.remoteVaHigh);
  batch.commit(qp.flow, HEADER_LENGTH[Opcode.RC_READ_REQUEST] as number, 0);
}

export function writeAtomicRequest(qp: QpHost, wqe: SendWqe, batch: TransmitBatch): void {
  const opcode = wqe.opcode === ATOMIC_CMP_AND_SWP ? Opcode.RC_COMPARE_SWAP : Opcode.RC_FETCH_ADD;
  const { rare } = wqe;
  const at = batch.begin();
  writeBth(batch.headers, at, opcode, 0, 0, qp.destQpn, 1, wqe.firstPsn);
  writeAtomicEth(
    batch.headers,
    at + ATOMIC_ETH_AT,
    wqe.remoteVaLow,
    wqe.rkey,
    rare.swapAddHigh,
    rare.swapAddLow,
    rare.compareHigh,
    rare.compareLow,
    wqe.remoteVaHigh,
  );
  batch.commit(qp.flow, HEADER_LENGTH[opcode] as number, 0);
}
