/**
 * Messages arrive exactly once, whole and in the order in which they were posted; each takes the oldest receive (of
 * a shared queue: one that is posted). A receive that fails or is flushed comes once and reports no message.
 */
import {
  statusName,
  WcFlags,
  WcOpcode,
  WcStatus,
  type WorkCompletion,
} from '../../../src/verbs/work-completion.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';
import type { ReceiveRecord, SendRecord } from '../records.js';
import { isSend } from '../scenario.js';
import { verifyTarget } from './memory.js';

const CHECKER = 'receive completions';

export function checkReceiveCompletion(endpoint: Endpoint, wc: WorkCompletion): void {
  const receive = takeReceive(endpoint, wc);
  receive.outcome = 'done';
  if (wc.status !== WcStatus.SUCCESS) {
    receive.arena.forget(receive.pieces);
    checkFailure(endpoint, receive, wc);
    return;
  }
  const message = endpoint.peer.messages[endpoint.receivedMessages];
  expect(
    message !== undefined,
    CHECKER,
    () => `${endpoint.name}: receive ${wc.wrId} completed, but no further message was sent`,
  );
  endpoint.receivedMessages++;
  checkFields(endpoint, message, wc);
  if (isSend(message.operation.kind)) checkContent(endpoint, receive, message);
  else verifyTarget(endpoint.peer, message, 'when its immediate arrived');
}

function takeReceive(endpoint: Endpoint, wc: WorkCompletion): ReceiveRecord {
  const shared = endpoint.host.sharedReceives;
  if (endpoint.usesSrq) {
    const receive = shared.get(wc.wrId);
    expect(
      receive !== undefined && receive.outcome === 'posted',
      CHECKER,
      () => `${endpoint.name}: receive ${wc.wrId} is not posted or has completed before`,
    );
    shared.delete(wc.wrId);
    return receive;
  }
  const receive = endpoint.receives[endpoint.completedReceives];
  expect(
    receive !== undefined && receive.wrId === wc.wrId,
    CHECKER,
    () => `${endpoint.name}: receive ${wc.wrId} completed out of order; ${receive?.wrId} is the oldest`,
  );
  endpoint.completedReceives++;
  return receive;
}

function checkFailure(endpoint: Endpoint, receive: ReceiveRecord, wc: WorkCompletion): void {
  endpoint.failedReceives.push(wc.status as WcStatus);
  expect(
    endpoint.inError,
    CHECKER,
    () => `${endpoint.name}: receive ${receive.wrId} ended in ${statusName(wc.status)}, but not in ERR`,
  );
  const known: readonly number[] = [WcStatus.WR_FLUSH_ERR, WcStatus.LOC_LEN_ERR, WcStatus.LOC_PROT_ERR];
  expect(
    known.includes(wc.status),
    CHECKER,
    () => `${endpoint.name}: receive ${receive.wrId} ended in ${statusName(wc.status)}`,
  );
}

function checkFields(endpoint: Endpoint, message: SendRecord, wc: WorkCompletion): void {
  const { operation } = message;
  const what = (): string => `${endpoint.name}: message ${operation.id}`;
  const opcode = isSend(operation.kind) ? WcOpcode.RECV : WcOpcode.RECV_RDMA_WITH_IMM;
  expect(wc.opcode === opcode, CHECKER, () => `${what()} arrived with opcode ${wc.opcode}`);
  expect(
    wc.byteLen === operation.length,
    CHECKER,
    () => `${what()} has ${operation.length} bytes and arrived with ${wc.byteLen}`,
  );
  const withImm = operation.kind === 'sendImm' || operation.kind === 'writeImm';
  const withInv = operation.kind === 'sendInv';
  const flags = (withImm ? WcFlags.WITH_IMM : 0) | (withInv ? WcFlags.WITH_INV : 0);
  expect(wc.flags === flags, CHECKER, () => `${what()} arrived with flags ${wc.flags}`);
  if (withImm) expect(wc.imm === message.imm, CHECKER, () => `${what()} arrived with immediate ${wc.imm}`);
  if (withInv) {
    expect(
      wc.invalidatedRkey === message.invalidateRkey,
      CHECKER,
      () => `${what()} reports rkey ${wc.invalidatedRkey}`,
    );
  }
}

function checkContent(endpoint: Endpoint, receive: ReceiveRecord, message: SendRecord): void {
  let done = 0;
  const { data } = message;
  for (const piece of receive.pieces) {
    const length = Math.min(piece.length, data.length - done);
    for (let i = 0; i < length; i++) {
      expect(
        receive.arena.bytes[piece.offset + i] === data[done + i],
        CHECKER,
        () => `${endpoint.name}: message ${message.operation.id} arrived with a wrong byte ${done + i}`,
      );
    }
    receive.arena.accept(piece.offset, length);
    done += length;
  }
}
