/**
 * Makes packets of what a responder has queued, in order, as far as there is room. READ responses read memory at this
 * moment; if it was deregistered since the request came, the answer is a remote access NAK at the PSN it had reached. That
 * ends the queue pair, but not if it is a repetition that cannot be answered: the network may have made that of an old
 * request, whose requester has had its data for long and takes no notice.
 */

import { psnAdd } from '../psn.js';
import type { TransmitBatch } from '../transmit-batch.js';
import { AETH_LENGTH, Syndrome, SyndromeKind, syndromeKind, writeAeth } from '../wire/aeth.js';
import { ATOMIC_ACK_ETH_LENGTH, writeAtomicAckEth } from '../wire/atomic-eth.js';
import { BTH_LENGTH, padCountOf, writeBth } from '../wire/bth.js';
import { AETH_AT, ATOMIC_ACK_ETH_AT, Opcode } from '../wire/opcodes.js';
import { MIDDLE_HEADER_LENGTH, writeMiddlePackets } from './middle-packets.js';
import type { QpHost } from './qp-host.js';
import { type Response, ResponseKind, type ResponseQueue } from './response-queue.js';
import type { SavedOperation } from './saved-operations.js';

/** Sends up to `budget` packets; returns how many it sent. */
export function sendResponses(
  qp: QpHost,
  queue: ResponseQueue,
  batch: TransmitBatch,
  budget: number,
): number {
  let sent = 0;
  while (!queue.empty && sent < budget && batch.hasRoom) {
    const response = queue.first;
    if (response.kind === ResponseKind.READ) {
      const run = sendReadRun(qp, response, batch, budget - sent);
      if (run === 0 && sendReadResponse(qp, queue, response, batch)) queue.shift();
      sent += Math.max(1, run);
    } else {
      if (response.kind === ResponseKind.ATOMIC) sendAtomicResponse(qp, response, batch);
      else sendAcknowledge(qp, response.psn, response.syndrome, response.msn, batch);
      queue.shift();
      sent++;
    }
  }
  return sent;
}

function sendAcknowledge(qp: QpHost, psn: number, syndrome: number, msn: number, batch: TransmitBatch): void {
  if (syndromeKind(syndrome) === SyndromeKind.ACK) qp.counters.ackSent();
  const at = batch.begin();
  writeBth(batch.headers, at, Opcode.RC_ACKNOWLEDGE, 0, 0, qp.destQpn, 0, psn);
  writeAeth(batch.headers, at + AETH_AT, syndrome, msn);
  batch.commit(qp.flow, BTH_LENGTH + AETH_LENGTH, 0);
}

function sendAtomicResponse(qp: QpHost, response: Response, batch: TransmitBatch): void {
  const operation = response.operation as SavedOperation;
  const at = batch.begin();
  writeBth(batch.headers, at, Opcode.RC_ATOMIC_ACKNOWLEDGE, 0, 0, qp.destQpn, 0, response.psn);
  writeAeth(batch.headers, at + AETH_AT, Syndrome.ACK, response.msn);
  writeAtomicAckEth(batch.headers, at + ATOMIC_ACK_ETH_AT, operation.originalHigh, operation.originalLow);
  batch.commit(qp.flow, BTH_LENGTH + AETH_LENGTH + ATOMIC_ACK_ETH_LENGTH, 0);
}

/** Sends packets from the middle of a READ answer; returns how many, 0 if none such is next. */
function sendReadRun(qp: QpHost, response: Response, batch: TransmitBatch, most: number): number {
  const { mtu } = qp;
  const operation = response.operation as SavedOperation;
  const { grant } = operation;
  const left = response.length - response.sentBytes;
  if (response.sentBytes === 0 || left <= mtu || grant?.usable !== true) return 0;
  const packets = Math.min(most, Math.ceil(left / mtu) - 1, batch.roomFor(MIDDLE_HEADER_LENGTH, mtu));
  const psn = psnAdd(response.psn, response.sentBytes / mtu);
  const offset = grant.offsetOf(operation.va) + response.startOffset + response.sentBytes;
  writeMiddlePackets(qp, batch, Opcode.RC_READ_RESPONSE_MIDDLE, psn, grant.region, offset, packets);
  response.sentBytes += packets * mtu;
  return packets;
}

/** Sends the next packet of a READ answer; returns whether it was the last. */
function sendReadResponse(
  qp: QpHost,
  queue: ResponseQueue,
  response: Response,
  batch: TransmitBatch,
): boolean {
  const operation = response.operation as SavedOperation;
  const grant = operation.grant;
  const psn = psnAdd(response.psn, response.sentBytes / qp.mtu);
  if (response.length > 0 && grant?.usable !== true) {
    qp.counters.count('fatalNaksSent');
    sendAcknowledge(qp, psn, Syndrome.NAK_REMOTE_ACCESS, response.msn, batch);
    if (response.isReplay) return true;
    queue.dropBehindFirst();
    qp.fail('QP_ACCESS_ERR');
    return true;
  }
  const left = response.length - response.sentBytes;
  const length = Math.min(left, qp.mtu);
  const isFirst = response.sentBytes === 0;
  const isLast = length === left;
  const opcode = readResponseOpcode(isFirst, isLast);
  const at = batch.begin();
  writeBth(batch.headers, at, opcode, 0, padCountOf(length), qp.destQpn, 0, psn);
  let headerLength = BTH_LENGTH;
  if (isFirst || isLast) {
    writeAeth(batch.headers, at + AETH_AT, Syndrome.ACK, response.msn);
    headerLength += AETH_LENGTH;
  }
  if (length > 0 && grant !== null) {
    const offset = grant.offsetOf(operation.va) + response.startOffset + response.sentBytes;
    batch.addSegment(grant.region, offset, length);
  }
  batch.commit(qp.flow, headerLength, length);
  response.sentBytes += length;
  return isLast;
}

function readResponseOpcode(isFirst: boolean, isLast: boolean): number {
  if (isFirst) return isLast ? Opcode.RC_READ_RESPONSE_ONLY : Opcode.RC_READ_RESPONSE_FIRST;
  return isLast ? Opcode.RC_READ_RESPONSE_LAST : Opcode.RC_READ_RESPONSE_MIDDLE;
}
