/** The places of a server: as many as there are, each taken once, each freed once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from '../../src/connection/server/slots.js';

test('places are given from the first on, as many as there are, and again when they are free', () => {
  const slots = new Slots(3);
  assert.deepEqual([slots.take(), slots.take(), slots.take(), slots.take()], [0, 1, 2, undefined]);
  assert.equal(slots.used, 3);
  slots.free(1);
  assert.equal(slots.used, 2);
  assert.equal(slots.take(), 1);
});

test('a place that is freed twice, or that nobody has, counts once or not at all', () => {
  const slots = new Slots(2);
  slots.take();
  slots.take();
  for (const slot of [0, 0, 5]) slots.free(slot);
  assert.equal(slots.used, 1);
  assert.deepEqual([slots.take(), slots.take()], [0, undefined]);
});
