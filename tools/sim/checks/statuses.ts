/**
 * Requests end as they must: those that are right succeed, unless something in their epoch was to kill the queue
 * pairs; mistakes end in the status that the verbs name for them (docs: "who sees what"). Where packets may be lost,
 * so may the NAK, and then the retries run out instead.
 */
import { statusName, WcStatus } from '../../../src/verbs/work-completion.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';
import type { SendRecord } from '../records.js';
import type { Wrong } from '../scenario.js';

const CHECKER = 'statuses';

/** The requester's status for every mistake, and what the responder must have reported. */
const OUTCOMES: Readonly<
  Record<Wrong, { status: WcStatus; event?: 'QP_REQ_ERR' | 'QP_ACCESS_ERR'; receive?: WcStatus }>
> = {
  rkey: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  range: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  right: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  domain: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  revokedWindow: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  foreignWindow: { status: WcStatus.REM_ACCESS_ERR, event: 'QP_ACCESS_ERR' },
  qpRight: { status: WcStatus.REM_INV_REQ_ERR, event: 'QP_REQ_ERR' },
  misaligned: { status: WcStatus.REM_INV_REQ_ERR, event: 'QP_REQ_ERR' },
  tooLong: { status: WcStatus.REM_INV_REQ_ERR, receive: WcStatus.LOC_LEN_ERR },
  receiveProtection: { status: WcStatus.REM_OP_ERR, receive: WcStatus.LOC_PROT_ERR },
  localProtection: { status: WcStatus.LOC_PROT_ERR },
  badBind: { status: WcStatus.MW_BIND_ERR },
  badInvalidate: { status: WcStatus.MW_BIND_ERR },
  noReads: { status: WcStatus.LOC_QP_OP_ERR },
  noReceive: { status: WcStatus.RNR_RETRY_EXC_ERR },
};

function outcomeOf(record: SendRecord): (typeof OUTCOMES)[Wrong] | null {
  const { wrong, kind } = record.operation;
  if (wrong === null) return null;
  if (wrong === 'badInvalidate' && kind === 'sendInv') return OUTCOMES.rkey;
  return OUTCOMES[wrong];
}

export function checkStatus(endpoint: Endpoint, record: SendRecord, status: WcStatus): void {
  const allowed = allowedStatuses(endpoint, record);
  expect(
    allowed.includes(status),
    CHECKER,
    () =>
      `${endpoint.name}: request ${record.operation.id} (${record.operation.kind}, wrong: ` +
      `${record.operation.wrong}) ended in ${statusName(status)}, not in ${allowed.map(statusName).join(' or ')}`,
  );
}

function allowedStatuses(endpoint: Endpoint, record: SendRecord): WcStatus[] {
  const { doomed, faultsMayKill, faulty, strictWrong, epoch } = endpoint.driver;
  const outcome = outcomeOf(record);
  if (outcome !== null) {
    if (strictWrong && !faulty) return [outcome.status];
  }
  const allowed: WcStatus[] = [outcome?.status ?? WcStatus.SUCCESS];
  if (doomed || faultsMayKill) allowed.push(WcStatus.RETRY_EXC_ERR, WcStatus.WR_FLUSH_ERR);
  for (const action of epoch.actions) {
    if (action.kind === 'deregisterTarget') allowed.push(WcStatus.REM_ACCESS_ERR, WcStatus.MW_BIND_ERR);
    if (action.kind === 'deregisterLocal') allowed.push(WcStatus.LOC_PROT_ERR, WcStatus.REM_OP_ERR);
    if (action.kind === 'inject') {
      allowed.push(WcStatus.REM_INV_REQ_ERR, WcStatus.BAD_RESP_ERR);
      // A forged SEND that finds no receive.
      if (endpoint.driver.connection.rnrRetry < 7) allowed.push(WcStatus.RNR_RETRY_EXC_ERR);
    }
  }
  return allowed;
}

/** At the end of an epoch, where nothing but one mistake went wrong and no packet was lost: both sides agree. */
export function checkResponder(endpoint: Endpoint): void {
  if (!endpoint.driver.strictWrong || endpoint.driver.faulty) return;
  const record = endpoint.sends.find((candidate) => candidate.operation.wrong !== null);
  const outcome = record === undefined ? null : outcomeOf(record);
  if (record === undefined || outcome === null || record.outcome !== 'failed') return;
  const { peer } = endpoint;
  const what = `${endpoint.name}: request ${record.operation.id} (${record.operation.wrong})`;
  const events = peer.events.filter((event) => event.startsWith('QP_') && event !== 'QP_LAST_WQE_REACHED');
  const expected = outcome.event === undefined ? [] : [outcome.event];
  expect(
    events.join() === expected.join(),
    CHECKER,
    () => `${what}: the peer raised [${events.join()}] and not [${expected.join()}]`,
  );
  if (outcome.receive === undefined) return;
  expect(
    peer.failedReceives.includes(outcome.receive),
    CHECKER,
    () => `${what}: no receive of the peer ended in ${statusName(outcome.receive ?? 0)}`,
  );
}
