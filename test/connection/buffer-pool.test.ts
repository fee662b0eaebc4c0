import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferPool } from '../../src/connection/link/buffer-pool.js';

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

test('sizes that nobody asks for any more make room, and nothing is left of them', () => {
  const pool = new BufferPool(1000);
  const usual = [pool.take(100), pool.take(100)];
  for (const buffer of usual) pool.giveBack(buffer);
  for (let bytes = 101; bytes < 400; bytes++) {
    const buffer = pool.take(100);
    pool.giveBack(pool.take(bytes));
    pool.giveBack(buffer);
    assert.ok(pool.keptBytes <= 1000);
  }
  assert.ok(usual.includes(pool.take(100)), 'the size that is asked for is there');
  assert.ok(pool.sizes <= 10, `${pool.sizes} sizes`);
  pool.giveBack(pool.take(1000));
  assert.equal(pool.sizes, 1);
  assert.equal(pool.keptBytes, 1000);
  pool.giveBack(new Uint8Array(1001));
  assert.equal(pool.keptBytes, 1000, 'what never fits drives nothing out');
});

test('what nobody has needed for ten seconds goes, and what is needed again and again stays', () => {
  let now = 0;
  const pool = new BufferPool(10_000, () => now);
  const rush = Array.from({ length: 50 }, () => pool.take(100));
  for (const buffer of rush) pool.giveBack(buffer);
  assert.equal(pool.keptBytes, 5000);
  for (let second = 0; second < 40; second++) {
    // Three at a time come and go.
    const three = [pool.take(100), pool.take(100), pool.take(100)];
    for (const buffer of three) pool.giveBack(buffer);
    now += 1000;
    pool.rest();
    if (second < 9) assert.equal(pool.keptBytes, 5000);
    assert.ok(pool.keptBytes >= 300);
  }
  assert.equal(pool.keptBytes, 300);
  now += 10_000;
  pool.rest();
  now += 10_000;
  pool.rest();
  assert.equal(pool.keptBytes, 0);
  assert.equal(pool.sizes, 0);
});
