/** What a worker tells of all its connections together: that they live. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { FromWorker } from '../../src/connection/workers/contract.js';
import { SignsOfLife } from '../../src/connection/workers/signs-of-life.js';

test('signs of life are told together, after a moment or before the next word, and none of them twice', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const told: FromWorker[] = [];
  const signs = new SignsOfLife((message) => told.push(message));
  signs.flush();
  assert.deepEqual(told, []);
  for (let i = 0; i < 3; i++) signs.progress(1);
  signs.spoken(2);
  signs.heard(2);
  assert.deepEqual(told, []);
  mock.timers.tick(50);
  assert.deepEqual(told.splice(0), [{ type: 'alive', progressed: [1], heard: [2], spoken: [2] }]);
  signs.heard(3);
  signs.flush();
  assert.deepEqual(told.splice(0), [{ type: 'alive', progressed: [], heard: [3], spoken: [] }]);
  mock.timers.tick(1000);
  assert.deepEqual(told, []);
  signs.progress(4);
  mock.timers.tick(50);
  assert.deepEqual(told, [{ type: 'alive', progressed: [4], heard: [], spoken: [] }]);
  assert.deepEqual(signs.takeActive(), [1, 4]);
  assert.deepEqual(signs.takeActive(), []);
  mock.timers.reset();
});
