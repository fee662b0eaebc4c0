/** The course of a recovery: when its time begins, how long it pauses, and what is said when it fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recovery } from '../../src/connection/lifeline/lifeline-recovery.js';
import { RdmaError } from '../../src/verbs/errors.js';

const RECOVERY_MILLIS = 1000;
const FIRST = new RdmaError('ERR_RDMA_COMPLETION', 'the first');
const SECOND = new RdmaError('ERR_RDMA_COMPLETION', 'the second');
const LATE = new RdmaError('ERR_RDMA_TIMEOUT', 'it is late');
const BLOCKED = new RdmaError('ERR_RDMA_UNREACHABLE', 'UDP does not come through');

const pausesOf = (recovery: Recovery): number[] => [1, 2, 3].map(() => recovery.nextPauseMillis(() => 1));

test('progress of a connection that is up ends its trouble: the next failure begins anew', () => {
  const recovery = new Recovery(RECOVERY_MILLIS);
  recovery.begin(0, 0, FIRST);
  assert.deepEqual(pausesOf(recovery), [0, 10, 20]);
  recovery.noteProgress(500, false);
  assert.equal(recovery.hasBegun, false);
  recovery.begin(600, 0, SECOND);
  assert.equal(recovery.leftMillis(600), RECOVERY_MILLIS);
  assert.equal(recovery.withCause(LATE).cause, SECOND);
  assert.deepEqual(pausesOf(recovery), [0, 10, 20]);
});

test('progress while down gives the time anew, and the trouble keeps its cause', () => {
  const recovery = new Recovery(RECOVERY_MILLIS);
  recovery.begin(0, 0, FIRST);
  recovery.noteProgress(900, true);
  assert.equal(recovery.leftMillis(1000), RECOVERY_MILLIS - 100);
  assert.equal(recovery.withCause(LATE).cause, FIRST);
});

test('without progress a second failure is of the trouble that there is, unless the connection was up for long', () => {
  const recovery = new Recovery(RECOVERY_MILLIS);
  recovery.begin(0, 0, FIRST);
  recovery.begin(700, 300, SECOND);
  assert.equal(recovery.leftMillis(700), 300);
  assert.equal(recovery.withCause(LATE).cause, FIRST);
  pausesOf(recovery);
  recovery.begin(5000, 3999, SECOND);
  assert.equal(recovery.leftMillis(5000), RECOVERY_MILLIS);
  assert.equal(recovery.withCause(LATE).cause, SECOND);
  assert.equal(
    recovery.nextPauseMillis(() => 1),
    0,
  );
});

test('silence is told as the path that was found blocked, until the connection has been up', () => {
  const recovery = new Recovery(RECOVERY_MILLIS);
  recovery.begin(0, 0, FIRST);
  recovery.noteFailure(SECOND);
  assert.equal(recovery.blocked, undefined);
  recovery.noteFailure(BLOCKED);
  assert.equal(recovery.withCause(LATE).code, 'ERR_RDMA_UNREACHABLE');
  assert.equal(recovery.withCause(SECOND).code, 'ERR_RDMA_COMPLETION', 'who was answered was not silenced');
  recovery.noteUp(0);
  assert.equal(recovery.blocked, undefined);
  assert.equal(recovery.withCause(LATE).code, 'ERR_RDMA_TIMEOUT');
});

test('the failure that the trouble began with is told as it is', () => {
  const recovery = new Recovery(RECOVERY_MILLIS);
  assert.equal(recovery.withCause(LATE), LATE);
  recovery.begin(0, 0, FIRST);
  assert.equal(recovery.withCause(FIRST), FIRST);
  const refused = new RdmaError('ERR_RDMA_REFUSED', 'no', { refusal: 'no-slot', status: 'RETRY_EXC_ERR' });
  const { code, refusal, status, message } = recovery.withCause(refused);
  assert.deepEqual(
    { code, refusal, status },
    { code: 'ERR_RDMA_REFUSED', refusal: 'no-slot', status: 'RETRY_EXC_ERR' },
  );
  assert.equal(message, 'no (the trouble began with: the first)');
});

test('towards a server that has no room for another handshake pauses grow on, until it has', () => {
  const recovery = new Recovery(60_000);
  recovery.begin(0, 0, FIRST);
  const last = (): number => Array.from({ length: 14 }, () => recovery.nextPauseMillis(() => 1)).at(-1) ?? 0;
  assert.equal(last(), 200);
  recovery.noteFailure(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'closed', { refusal: 'before-tls' }));
  assert.equal(last(), 3200);
  recovery.noteFailure(LATE);
  assert.equal(last(), 200);
});
