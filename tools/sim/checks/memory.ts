/**
 * The memory that one side of a connection opens to the other equals a model to which the other's WRITEs are applied
 * in the order of their completion, and READs return what that model holds.
 *
 * Requests that were posted later may be carried out before an earlier one completes, so bytes that these write are
 * not judged then; a fenced request, and what follows it, cannot have begun. A WRITE without a known outcome leaves
 * each of its bytes either old or new.
 */
import type { Arena } from '../arena.js';
import { firstDifference } from '../arena.js';
import type { Endpoint } from '../endpoint.js';
import { expect } from '../failure.js';
import type { SendRecord } from '../records.js';

const CHECKER = 'memory';

const isWrite = (record: SendRecord): boolean =>
  record.target !== null && (record.operation.kind === 'write' || record.operation.kind === 'writeImm');

/** What a successful request has done is applied to the models; must be called in posting order. */
export function applySuccess(endpoint: Endpoint, record: SendRecord): void {
  const { target } = record;
  if (target === null) return;
  if (isWrite(record)) {
    verifyTarget(endpoint, record, 'when it completed');
    target.model.set(record.data, record.targetAt);
  } else if (record.operation.kind === 'read') {
    verifyRead(endpoint, record, target);
    for (const piece of record.pieces) record.arena.accept(piece.offset, piece.length);
  }
}

/** The request may have been carried out, in full, in part or not at all. */
export function applyUnknown(endpoint: Endpoint, record: SendRecord): void {
  if (record.operation.kind === 'read') record.arena.forget(record.pieces);
  else if (isWrite(record)) endpoint.uncertainWrites.push(record);
}

/** Whether a later WRITE may have put `value` at byte `at` of the target. */
function isPending(endpoint: Endpoint, record: SendRecord, at: number, beforeFence: boolean): boolean {
  for (let i = record.index + 1; i < endpoint.sends.length; i++) {
    const later = endpoint.sends[i] as SendRecord;
    if (beforeFence && later.operation.fence) return false;
    if (!isWrite(later) || later.target !== record.target) continue;
    if (at >= later.targetAt && at < later.targetAt + later.data.length) return true;
  }
  return false;
}

/** The bytes of a WRITE that is done are in place, but for those that later WRITEs may have changed already. */
export function verifyTarget(endpoint: Endpoint, record: SendRecord, when: string): void {
  const { target, targetAt, data } = record;
  if (target === null) return;
  const found = target.bytes.subarray(targetAt, targetAt + data.length);
  let at = firstDifference(found, data, 0, data.length);
  for (; at >= 0 && at < data.length; at++) {
    if (found[at] === data[at] || isPending(endpoint, record, targetAt + at, false)) continue;
    const where = at;
    expect(
      false,
      CHECKER,
      () => `${endpoint.name}: WRITE ${record.operation.id} lacks its byte ${where} ${when}`,
    );
  }
}

function verifyRead(endpoint: Endpoint, record: SendRecord, target: Arena): void {
  let done = 0;
  for (const piece of record.pieces) {
    for (let i = 0; i < piece.length; i++) {
      const remote = record.targetAt + done + i;
      const value = record.arena.bytes[piece.offset + i];
      if (value === target.model[remote] || isPending(endpoint, record, remote, true)) continue;
      expect(
        false,
        CHECKER,
        () =>
          `${endpoint.name}: READ ${record.operation.id} got ${value} for byte ${done + i}, ` +
          `and the peer has ${target.model[remote]}`,
      );
    }
    done += piece.length;
  }
}

/** At the end of an epoch: bytes of WRITEs without a known outcome are taken as they are, if old or new. */
export function settleUncertainWrites(endpoint: Endpoint): void {
  const { target } = endpoint.peer;
  for (let at = 0; endpoint.uncertainWrites.length > 0 && at < target.bytes.length; at++) {
    const value = target.bytes[at];
    if (value === target.model[at]) continue;
    const explained = endpoint.uncertainWrites.some(
      (record) => record.target === target && record.data[at - record.targetAt] === value,
    );
    if (explained) target.model[at] = value as number;
  }
  endpoint.uncertainWrites.length = 0;
}
