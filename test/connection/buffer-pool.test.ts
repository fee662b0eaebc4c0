import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferPool } from '../../src/connection/buffer-pool.js';

test('a buffer comes back for the same size alone, and wiped', () => {
  const pool = new BufferPool(100);
  const first = pool.take(40);
  first.fill(7);
  pool.giveBack(first);
  assert.equal(pool.keptBytes, 40);
  assert.notEqual(pool.take(39), first);
  const again = pool.take(40);
  assert.equal(again, first);
  assert.ok(again.every((byte) => byte === 0));
  assert.equal(pool.keptBytes, 0);
  assert.notEqual(pool.take(40), first, 'nobody gets what another one has');
});

test('no more is kept than allowed', () => {
  const pool = new BufferPool(100);
  const buffers = [40, 40, 40, 20].map((bytes) => pool.take(bytes));
  for (const buffer of buffers) pool.giveBack(buffer);
  assert.equal(pool.keptBytes, 100);
});
