/**
 * Send completions come in posting order, each exactly once, none invented. A request that was not signaled and that
 * a later completion passes over has succeeded; after the first failure everything completes, and is flushed.
 */
import { statusName, WcOpcode, WcStatus, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';
import type { SendRecord } from '../records.js';
import type { OperationKind } from '../scenario.js';

const CHECKER = 'send completions';

const OPCODES: Readonly<Record<OperationKind, number>> = {
  send: WcOpcode.SEND,
  sendImm: WcOpcode.SEND,
  sendInv: WcOpcode.SEND,
  write: WcOpcode.RDMA_WRITE,
  writeImm: WcOpcode.RDMA_WRITE,
  read: WcOpcode.RDMA_READ,
  faa: WcOpcode.FETCH_ADD,
  cas: WcOpcode.COMP_SWAP,
  bind: WcOpcode.BIND_MW,
  localInv: WcOpcode.LOCAL_INV,
};

/** Calls `settle` for every request that the completion says something about. */
export function checkSendCompletion(
  endpoint: Endpoint,
  wc: WorkCompletion,
  settle: (record: SendRecord, status: WcStatus) => void,
): void {
  const { sends, name } = endpoint;
  for (;;) {
    const record = sends[endpoint.settledSends];
    expect(
      record !== undefined,
      CHECKER,
      () => `${name}: a completion of request ${wc.wrId}, which is not posted or has completed before`,
    );
    endpoint.settledSends++;
    if (record.operation.id === wc.wrId) {
      checkFields(endpoint, record, wc);
      settle(record, wc.status as WcStatus);
      return;
    }
    expect(
      !record.signaled && !endpoint.flushing,
      CHECKER,
      () => `${name}: request ${wc.wrId} completed before ${record.operation.id}`,
    );
    settle(record, WcStatus.SUCCESS);
  }
}

function checkFields(endpoint: Endpoint, record: SendRecord, wc: WorkCompletion): void {
  const { name } = endpoint;
  const id = record.operation.id;
  if (wc.status === WcStatus.SUCCESS) {
    const opcode = OPCODES[record.operation.kind];
    expect(record.signaled, CHECKER, () => `${name}: request ${id} is not signaled, yet reports success`);
    expect(wc.opcode === opcode, CHECKER, () => `${name}: request ${id} has opcode ${wc.opcode}`);
    expect(!endpoint.flushing, CHECKER, () => `${name}: request ${id} succeeded after a failure`);
    return;
  }
  // A failure may follow flushes: those whose outcome was open when it came. One failure, and then only flushes.
  endpoint.flushing = true;
  const isFlush = wc.status === WcStatus.WR_FLUSH_ERR;
  expect(
    isFlush || endpoint.failedStatus === null,
    CHECKER,
    () => `${name}: request ${id} fails with ${statusName(wc.status)} after another failure`,
  );
  if (!isFlush) endpoint.failedStatus = wc.status as WcStatus;
}

/** When the queue is empty, the requests that reported nothing have succeeded; all others must have reported. */
export function checkSendsAllSettled(
  endpoint: Endpoint,
  settle: (record: SendRecord, status: WcStatus) => void,
): void {
  while (endpoint.settledSends < endpoint.sends.length) {
    const record = endpoint.sends[endpoint.settledSends] as SendRecord;
    expect(
      !record.signaled && !endpoint.flushing,
      CHECKER,
      () => `${endpoint.name}: request ${record.operation.id} left the queue without a completion`,
    );
    endpoint.settledSends++;
    settle(record, WcStatus.SUCCESS);
  }
}
