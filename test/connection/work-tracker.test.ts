/** Requests of a link end once each, whichever of their completion and the end of the link comes first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { WcStatus, WorkCompletion } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { WatchedMemory, WatchedQp } from '../../tools/fuzz/targets/messages/watched-queues.js';

const LOST = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link is gone');
const WORK = { opcode: WrOpcode.SEND, sges: [{ mr: new WatchedMemory(8) }] } as const;

class Rig {
  readonly qp = new WatchedQp(1, 8);
  readonly refusals: RdmaError[] = [];
  readonly tracker = new WorkTracker(this.qp, { onRefused: (error) => void this.refusals.push(error) });
  /** How requests ended, in that order. */
  readonly ended: string[] = [];

  post(name: string): void {
    this.tracker.post(WORK, (error) => this.ended.push(`${name}: ${error?.status ?? error?.code ?? 'done'}`));
  }

  complete(index: number, status: WcStatus = WcStatus.SUCCESS): void {
    const completion = new WorkCompletion();
    completion.wrId = this.qp.sends[index]?.wrId ?? assert.fail();
    completion.status = status;
    this.tracker.onCompletion(completion);
  }
}

test('a request ends with its completion, once, and with what that says', () => {
  const rig = new Rig();
  for (const name of ['one', 'two']) rig.post(name);
  assert.equal((rig.qp.sends[0]?.flags ?? 0) & SendFlags.SIGNALED, SendFlags.SIGNALED);
  assert.equal(rig.tracker.pending, 2);
  rig.complete(1, WcStatus.REM_ACCESS_ERR);
  rig.complete(0);
  rig.complete(0);
  assert.deepEqual(rig.ended, ['two: REM_ACCESS_ERR', 'one: done']);
  assert.equal(rig.tracker.pending, 0);
});

test('any number of requests may be under way; each ends once, also where a later one ends before it', () => {
  const rig = new Rig();
  // Twice, so that the numbers of the second thirty begin in the middle of the ring.
  for (let from = 0; from < 60; from += 30) {
    for (let i = from; i < from + 30; i++) {
      rig.post(`${i}`);
      // One in three is answered at once, so that the ring moves on while it grows.
      if (i % 3 === 0) rig.complete(i);
    }
    for (let i = from + 29; i >= from; i--) rig.complete(i);
  }
  assert.equal(rig.ended.length, 60);
  assert.equal(new Set(rig.ended).size, 60);
  assert.equal(rig.tracker.pending, 0);
});

test('what is open when the link ends, ends with it, and not again when it completes', () => {
  const rig = new Rig();
  rig.post('one');
  rig.tracker.fail(LOST);
  rig.tracker.fail(new RdmaError('ERR_RDMA_CLOSED', 'later'));
  rig.complete(0);
  assert.deepEqual(rig.ended, ['one: ERR_RDMA_CONNECTION_LOST']);
  assert.equal(rig.tracker.pending, 0);
});

test('what is posted after the link has ended, or cannot be posted, ends soon, but not at once', async () => {
  const rig = new Rig();
  rig.qp.onSend = () => {
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', 'the send queue is full');
  };
  rig.post('full');
  rig.tracker.fail(LOST);
  rig.post('late');
  assert.deepEqual(rig.ended, []);
  await Promise.resolve();
  assert.deepEqual(rig.ended, ['full: ERR_RDMA_QUEUE_FULL', 'late: ERR_RDMA_CONNECTION_LOST']);
  assert.equal(rig.tracker.pending, 0);
});

test('a fragment that the device refuses is told soon, once, and no later one overtakes it', async () => {
  const rig = new Rig();
  const mr = new WatchedMemory(8);
  const send = (name: string): boolean => rig.tracker.send(mr, 0, 8, () => rig.ended.push(name));
  assert.equal(send('one'), true);
  const cause = new RdmaError('ERR_RDMA_QUEUE_FULL', 'the send queue is full');
  rig.qp.onSend = () => {
    throw cause;
  };
  assert.equal(send('two'), false);
  rig.qp.onSend = () => {};
  assert.equal(send('three'), false);
  assert.equal(rig.tracker.isUsable, false);
  assert.deepEqual(rig.refusals, []);
  await Promise.resolve();
  const told = rig.refusals.map(({ code, cause }) => ({ code, cause }));
  assert.deepEqual(told, [{ code: 'ERR_RDMA_INTERNAL', cause }]);
  rig.complete(0);
  assert.deepEqual(rig.ended, ['one']);
  assert.equal(rig.tracker.pending, 0);
});

test('who waits until all is answered waits for the last request, or for the end of the link', async () => {
  const rig = new Rig();
  const told: string[] = [];
  await rig.tracker.answered();
  for (const name of ['one', 'two']) rig.post(name);
  void rig.tracker.answered().then(() => told.push('answered'));
  rig.complete(0);
  await new Promise(setImmediate);
  assert.equal(told.length, 0);
  rig.complete(1);
  await new Promise(setImmediate);
  assert.equal(told.length, 1);
  rig.post('three');
  void rig.tracker.answered().then(() => told.push('over'));
  rig.tracker.fail(LOST);
  await new Promise(setImmediate);
  assert.deepEqual(told, ['answered', 'over']);
});
