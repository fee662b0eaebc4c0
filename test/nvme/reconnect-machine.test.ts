/** When a host whose controller is gone tries again, in time that the test makes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReconnectMachine, type ReconnectPolicy } from '../../src/nvme/host/reconnect-machine.js';

const POLICY: ReconnectPolicy = {
  withinMillis: 60_000,
  attempts: Number.POSITIVE_INFINITY,
  delayMillis: 1000,
  maxDelayMillis: 8000,
};

const machine = (policy: Partial<ReconnectPolicy> = {}): ReconnectMachine =>
  new ReconnectMachine({ ...POLICY, ...policy }, 0, () => 0);

/** Lets every attempt fail; returns when attempts began, and the end. */
function failAll(one: ReconnectMachine, from: number): { began: number[]; end: string } {
  const began: number[] = [];
  let now = from;
  for (;;) {
    const action = one.takeAction();
    if (action?.type === 'end') return { began, end: action.reason };
    if (action?.type === 'open') {
      began.push(now);
      one.failed(now, 'nobody listens', false);
    } else {
      now = one.nextDeadline();
      one.handleTimeout(now);
    }
  }
}

test('pauses double up to the longest, and the time for it ends the attempts', () => {
  const one = machine();
  one.lost(100_000, 'cut');
  const { began, end } = failAll(one, 100_000);
  assert.deepEqual(
    began.map((at) => (at - 100_000) / 1000),
    [1, 3, 7, 15, 23, 31, 39, 47, 55],
  );
  assert.equal(end, 'no attempt succeeded within 60000 ms; the last reason: nobody listens');
  assert.equal(one.state, 'over');
});

test('so many attempts, and none when there shall be none', () => {
  const three = machine({ attempts: 3 });
  three.lost(0, 'cut');
  assert.deepEqual(failAll(three, 0), {
    began: [1000, 3000, 7000],
    end: '3 attempts failed; the last reason: nobody listens',
  });
  const none = machine({ withinMillis: 0 });
  none.lost(0, 'cut');
  assert.deepEqual(none.takeAction(), { type: 'end', reason: 'cut' });
});

test('a controller that is lost soon is waited for longer, and one that stayed is asked for at once', () => {
  const one = machine();
  let now = 100_000;
  const lose = (): number => {
    one.lost(now, 'cut');
    const pause = one.nextDeadline() - now;
    now += pause;
    one.handleTimeout(now);
    assert.deepEqual(one.takeAction(), { type: 'open', attempt: 1 });
    assert.ok(one.opened(now));
    return pause;
  };
  assert.deepEqual([lose(), lose(), lose()], [1000, 2000, 4000]);
  now += 8000;
  assert.equal(lose(), 1000);
});

test('a refusal for good, and the word of the program, end it at once', () => {
  const refused = machine();
  refused.lost(0, 'cut');
  refused.handleTimeout(1000);
  assert.equal(refused.takeAction()?.type, 'open');
  refused.failed(1001, 'not let in', true);
  assert.deepEqual(refused.takeAction(), { type: 'end', reason: 'not let in' });
  assert.equal(refused.opened(1002), false, 'what comes late is not wanted');
  const forbidden = machine();
  forbidden.forbid('no more');
  assert.equal(forbidden.takeAction(), undefined, 'a controller that is there stays');
  forbidden.lost(0, 'cut');
  assert.deepEqual(forbidden.takeAction(), { type: 'end', reason: 'cut' });
});

test('whatever happens, there is one attempt at a time, at its time, and one end', () => {
  const event = fc.record({
    kind: fc.constantFrom('lost', 'opened', 'failed', 'final', 'time', 'time', 'time', 'forbid', 'stop'),
    waitMillis: fc.integer({ min: 0, max: 20_000 }),
  });
  const policy = fc.record({
    withinMillis: fc.constantFrom(0, 1, 5000, 60_000),
    attempts: fc.constantFrom(0, 1, 4, Number.POSITIVE_INFINITY),
    delayMillis: fc.constantFrom(0, 1, 1000),
    maxDelayMillis: fc.constantFrom(1, 8000),
  });
  fc.assert(
    fc.property(
      policy,
      fc.array(event, { maxLength: 60 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (chosen, events, jitter) => {
        const one = new ReconnectMachine(chosen, 0, () => jitter);
        let now = 0;
        let lostAt = 0;
        let isOpening = false;
        let ends = 0;
        for (const { kind, waitMillis } of events) {
          now += waitMillis;
          const before = one.state;
          if (kind === 'lost') {
            if (before === 'up') lostAt = now;
            one.lost(now, 'lost');
          } else if (kind === 'opened' && isOpening) {
            assert.equal(one.opened(now), before === 'opening');
            isOpening = false;
          } else if ((kind === 'failed' || kind === 'final') && isOpening) {
            one.failed(now, 'failed', kind === 'final');
            isOpening = false;
          } else if (kind === 'time') one.handleTimeout(now);
          else if (kind === 'forbid') one.forbid('forbidden');
          else if (kind === 'stop') one.stop('stopped');
          const action = one.takeAction();
          if (action?.type === 'open') {
            assert.ok(!isOpening && ends === 0);
            assert.ok(action.attempt <= chosen.attempts && now - lostAt < chosen.withinMillis);
            isOpening = true;
          }
          if (action?.type === 'end') {
            ends++;
            assert.equal(one.state, 'over');
            // What is under way is given up.
            isOpening = false;
          }
          assert.ok(ends <= 1);
          assert.equal(one.takeAction(), undefined);
          const waits = one.state === 'pausing' || one.state === 'opening';
          assert.equal(one.nextDeadline() < Number.POSITIVE_INFINITY, waits);
          if (waits) assert.ok(one.nextDeadline() <= lostAt + chosen.withinMillis);
        }
      },
    ),
  );
});
