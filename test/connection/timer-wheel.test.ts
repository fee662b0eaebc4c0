/** Timers that share a tick: none is early, none is lost, and few timers of Node run for thousands. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TimerWheel, WheelTimer } from '../../src/connection/common/timer-wheel.js';
import { MAX_MILLIS } from '../../src/verbs/option-check.js';

const timerOf = (onTimer: () => void): WheelTimer => new WheelTimer({ onTimer });

/** Sets a new timer; returns what stops it. */
function set(wheel: TimerWheel, delayMillis: number, expired: () => void): () => void {
  const timer = timerOf(expired);
  wheel.set(timer, delayMillis);
  return () => wheel.stop(timer);
}

function wheelIn(t: TestContext): { wheel: TimerWheel; pass: (millis: number) => void; now: () => number } {
  t.mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
  let now = 3;
  const wheel = new TimerWheel(50, () => now);
  const pass = (millis: number): void => {
    for (let i = 0; i < millis; i++) {
      now++;
      t.mock.timers.tick(1);
    }
  };
  return { wheel, pass, now: () => now };
}

test('a timer is never early, and a tick late at most', (t) => {
  const { wheel, pass, now } = wheelIn(t);
  for (let delay = 0; delay < 200; delay += 7) {
    const dueAt = now() + delay;
    let calledAt = 0;
    set(wheel, delay, () => {
      calledAt = now();
    });
    pass(delay + 51);
    assert.ok(calledAt >= dueAt && calledAt <= dueAt + 50, `${delay} ms: ${calledAt} of ${dueAt}`);
  }
  assert.equal(wheel.ticks, 0);
});

test('one that is far away may be late by a 32nd of its time, and five ticks at most: then few ticks have any', (t) => {
  const { wheel, pass, now } = wheelIn(t);
  for (const [delay, latest] of [
    [2000, 50],
    [3200, 100],
    [6400, 200],
    [100_000, 250],
  ] as const) {
    const dueFrom = now() + delay;
    const lateness: number[] = [];
    for (let i = 0; i < 1000; i += 5) set(wheel, delay + i, () => lateness.push(now() - dueFrom - i));
    assert.ok(wheel.ticks <= 1000 / latest + 1, `${wheel.ticks} ticks of ${delay} ms`);
    pass(delay + 1300);
    assert.equal(lateness.length, 200);
    const [least, most] = [Math.min(...lateness), Math.max(...lateness)];
    assert.ok(least >= 0 && most <= latest, `${delay} ms: ${least} to ${most} ms late`);
  }
});

test('thousands that are due in turn share a few timers, and each is called once', (t) => {
  const { wheel, pass } = wheelIn(t);
  const calls = new Map<number, number>();
  for (let i = 0; i < 5000; i++) {
    set(wheel, 1000 + (i % 1000), () => calls.set(i, (calls.get(i) ?? 0) + 1));
  }
  assert.ok(wheel.ticks <= 21, `${wheel.ticks}`);
  pass(2100);
  assert.equal(calls.size, 5000);
  assert.ok([...calls.values()].every((count) => count === 1));
});

test('of thousands of one tick some are called in each turn of the event loop, and others have theirs between', async () => {
  const wheel = new TimerWheel(10);
  const calls: number[] = [];
  const timers = Array.from({ length: 1000 }, (_, i) => timerOf(() => calls.push(i)));
  for (const timer of timers) wheel.set(timer, 5);
  const counts: number[] = [];
  while (calls.length < 999) {
    await new Promise((resolve) => setImmediate(resolve));
    if (counts.at(-1) !== calls.length) counts.push(calls.length);
    // The last one waits for its turn meanwhile, and can be stopped.
    if (calls.length > 0) wheel.stop(timers[999] as WheelTimer);
  }
  const most = Math.max(...counts.map((count, i) => count - (counts[i - 1] ?? 0)));
  assert.ok(most <= 200, `${most} in one turn: ${counts}`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(calls.length, 999);
  assert.equal(new Set(calls).size, 999);
  assert.equal(wheel.ticks, 0);
});

test('one that is stopped is not called, also by another of its tick; an empty tick has no timer', (t) => {
  const { wheel, pass } = wheelIn(t);
  const called: string[] = [];
  let stopLater = (): void => undefined;
  set(wheel, 100, () => {
    called.push('first');
    stopLater();
  });
  stopLater = set(wheel, 100, () => called.push('stopped by the first'));
  set(wheel, 100, () => called.push('last'));
  const stop = set(wheel, 500, () => called.push('stopped'));
  const stopOne = set(wheel, 300, () => called.push('stopped, and not the other'));
  set(wheel, 300, () => called.push('the other'));
  assert.equal(wheel.ticks, 3);
  stopOne();
  assert.equal(wheel.ticks, 3);
  stop();
  stop();
  assert.equal(wheel.ticks, 2);
  pass(1000);
  assert.deepEqual(called, ['first', 'last', 'the other']);
  // What was called cannot be stopped any more, and stopping it stops nobody else.
  stopLater();
  assert.equal(wheel.ticks, 0);
});

test('a timer is set again and again, also from inside and before it was called, and called once for the last time', (t) => {
  const { wheel, pass, now } = wheelIn(t);
  const calls: number[] = [];
  const timer = timerOf(() => {
    calls.push(now());
    if (calls.length < 3) wheel.set(timer, 50);
  });
  const other = timerOf(() => calls.push(-1));
  wheel.set(timer, 100);
  wheel.set(other, 100);
  wheel.set(timer, 300);
  wheel.set(timer, 200);
  assert.equal(wheel.ticks, 1);
  pass(1000);
  assert.deepEqual(calls, [-1, 250, 300]);
  assert.equal(wheel.ticks, 0);
});

test('a timer that is put off again and again stays in its tick until that is over, and is stopped and set earlier all the same', (t) => {
  const { wheel, pass, now } = wheelIn(t);
  const calls: number[] = [];
  const timer = timerOf(() => calls.push(now()));
  wheel.set(timer, 100);
  for (let i = 0; i < 20; i++) {
    pass(20);
    wheel.set(timer, 300);
    assert.equal(wheel.ticks, 1);
  }
  const dueAt = now() + 300;
  pass(351);
  assert.equal(calls.length, 1);
  assert.ok((calls[0] as number) >= dueAt && (calls[0] as number) <= dueAt + 50, `${calls[0]} of ${dueAt}`);
  wheel.set(timer, 500);
  wheel.set(timer, 900);
  wheel.set(timer, 100);
  pass(151);
  assert.equal(calls.length, 2, 'and not later than it was set for last');
  wheel.set(timer, 100);
  wheel.set(timer, 900);
  pass(500);
  wheel.stop(timer);
  pass(1000);
  assert.equal(calls.length, 2);
  assert.equal(wheel.ticks, 0);
});

test('setting and stopping timers takes the same whatever order they are stopped in', (t) => {
  const { wheel, pass } = wheelIn(t);
  const calls: number[] = [];
  const timers = Array.from({ length: 10 }, (_, i) => timerOf(() => calls.push(i)));
  for (const timer of timers) wheel.set(timer, 100);
  for (const i of [0, 9, 4, 5, 4]) wheel.stop(timers[i] as WheelTimer);
  wheel.set(timers[0] as WheelTimer, 100);
  pass(200);
  assert.deepEqual(calls, [1, 2, 3, 6, 7, 8, 0]);
});

test('a timer that begins a tick of the same number keeps it when the last of the tick before is stopped', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 3;
  const wheel = new TimerWheel(50, () => now);
  const called: string[] = [];
  let stopOther = (): void => undefined;
  set(wheel, 47, () => {
    set(wheel, 1, () => called.push('new'));
    stopOther();
  });
  stopOther = set(wheel, 47, () => called.push('stopped'));
  // Timers of Node may be a part of a millisecond early.
  now = 49;
  t.mock.timers.tick(47);
  assert.equal(wheel.ticks, 1);
  t.mock.timers.tick(1);
  assert.deepEqual(called, ['new']);
  assert.equal(wheel.ticks, 0);
});

test('the longest delay that options allow asks Node for none that it takes for 1 ms', (t) => {
  const delays: (number | undefined)[] = [];
  t.mock.method(globalThis, 'setTimeout', (_: () => void, millis?: number) => {
    delays.push(millis);
    return { unref: () => undefined };
  });
  set(new TimerWheel(200, () => 3), MAX_MILLIS, () => {});
  assert.deepEqual(delays, [MAX_MILLIS]);
});
