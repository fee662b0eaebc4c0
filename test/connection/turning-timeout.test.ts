import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurningTimeout } from '../../src/connection/workers/turning-timeout.js';
import { within } from '../../testkit/within.js';

const standStill = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
};

test('a process that stands still has not used up a timeout by that', async () => {
  let isOver = false;
  const expired = new Promise<void>((resolve) => {
    new TurningTimeout(1200, () => {
      isOver = true;
      resolve();
    });
  });
  standStill(1500);
  // Whatever is due by now is called before these.
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(isOver, false);
  await within(expired, 10_000);
});

test('a timeout that is stopped, also between two of its pieces, never ends', async () => {
  const timeout = new TurningTimeout(700, () => assert.fail('it was stopped'));
  await new Promise((resolve) => setTimeout(resolve, 550));
  timeout.stop();
  await new Promise((resolve) => setTimeout(resolve, 400));
});
