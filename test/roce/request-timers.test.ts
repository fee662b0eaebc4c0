/** What a requester waits for, without a network: a pause stops all other clocks, and ends once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerLimit } from '../../src/roce/qp/answer-limit.js';
import { Congestion } from '../../src/roce/qp/congestion.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { RequestTimers } from '../../src/roce/qp/request-timers.js';

const newTimers = (): RequestTimers =>
  new RequestTimers({ timeoutMicros: 1000, armTimer() {} } as unknown as Qp, new Congestion());

test('in an RNR pause neither the timeout nor a probe runs on or starts', () => {
  const timers = newTimers();
  timers.onSent(0);
  timers.pauseUntil(1_000_000);
  assert.deepEqual([timers.takeTimeout(999_999), timers.takeProbe(999_999)], [false, false]);
  timers.startTimeout(10);
  timers.startProbe(10, 10);
  assert.deepEqual([timers.takeTimeout(999_999), timers.takeProbe(999_999)], [false, false]);
  assert.equal(timers.next, 1_000_000);
});

test('a pause ends once, when its time is over', () => {
  const timers = newTimers();
  timers.pauseUntil(500);
  assert.equal(timers.takeResume(499), false);
  assert.equal(timers.isPaused, true);
  assert.equal(timers.takeResume(500), true);
  assert.equal(timers.isPaused, false);
  assert.equal(timers.next, Number.POSITIVE_INFINITY);
  assert.equal(timers.takeResume(Number.MAX_VALUE), false);
});

test('progress of one moment sets the clocks once, and progress of the next sets them again', () => {
  let armed = 0;
  const congestion = new Congestion();
  congestion.onRoundTrip(100, true, 0);
  const timers = new RequestTimers(
    { timeoutMicros: 1000, armTimer: () => armed++ } as unknown as Qp,
    congestion,
  );
  timers.onSent(0);
  timers.onProgress(false, 5, 10);
  const before = armed;
  for (let packet = 0; packet < 15; packet++) timers.onProgress(false, 5, 10);
  assert.equal(armed, before);
  timers.onProgress(false, 5, 500);
  assert.equal(armed > before, true);
  assert.deepEqual([timers.takeTimeout(1499), timers.takeTimeout(1500)], [false, true]);
  // A probe in between is no sign of life: the next progress starts over, whenever it comes.
  timers.onProgress(false, 5, 2000);
  assert.equal(timers.takeProbe(2900), true);
  timers.onProgress(false, 5, 2000);
  assert.deepEqual([timers.probes, timers.probedAt < 0], [0, true]);
});

test('an answer to a duplicate that had to wait is owed until another has said it', () => {
  const limit = new AnswerLimit();
  while (limit.take(0));
  assert.ok(limit.owedAt > 0 && limit.owedAt < 10_000);
  limit.settle();
  assert.equal(limit.owedAt, Number.POSITIVE_INFINITY);
});
