/** Claims on ranges: who waits for whom, and that what was given back is held by nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Claim, MAX_COMPARED, RangeQueue } from '../../src/connection/memory/range-queue.js';

const BASE = 0x7f00_0000_0000n;
const write = (queue: RangeQueue, at: number, length = 8): Claim =>
  queue.claim(BASE + BigInt(at), length, false);
const read = (queue: RangeQueue, at: number, length = 8): Claim =>
  queue.claim(BASE + BigInt(at), length, true);

test('writes have their range alone, reads share it, and neighbours are not in the way', () => {
  const queue = new RangeQueue();
  const first = read(queue, 0);
  assert.ok(first.isFree);
  assert.ok(read(queue, 0).isFree);
  assert.ok(write(queue, 8).isFree);
  assert.ok(write(queue, -8).isFree);
  const over = write(queue, 7, 2);
  assert.equal(over.blockers.size, 3);
  let frees = 0;
  over.onFree = () => frees++;
  for (const other of [...over.blockers]) queue.release(other);
  assert.equal(frees, 1);
  assert.ok(over.isFree);
});

test('a claim that is given back while it waits is held by none of those in its way', () => {
  const queue = new RangeQueue();
  const stuck = write(queue, 0);
  for (let i = 0; i < 1000; i++) {
    const given = write(queue, 0);
    given.onFree = () => assert.fail('it was given back');
    queue.release(given);
  }
  assert.equal(stuck.blocked.size, 0);
  assert.equal(queue.size, 1);
  queue.release(stuck);
  assert.equal(queue.size, 0);
});

test('a claim that is given back makes way for those behind it', () => {
  const queue = new RangeQueue();
  const first = write(queue, 0);
  const given = write(queue, 0, 100);
  const behind = write(queue, 50);
  assert.equal(behind.isFree, false);
  queue.release(given);
  assert.ok(behind.isFree);
  queue.release(given);
  assert.equal(queue.size, 2);
  assert.equal(first.blocked.size, 0);
});

test('claims that all overlap are carried out in their order, and each is compared with a bounded number of others', () => {
  const queue = new RangeQueue();
  const count = 8 * MAX_COMPARED;
  const order: number[] = [];
  let most = 0;
  const claims = Array.from({ length: count }, (_, i) => {
    const claim = write(queue, 0);
    claim.onFree = () => order.push(i);
    return claim;
  });
  for (const claim of claims) {
    assert.ok(claim.isFree);
    most = Math.max(most, claim.blocked.size);
    queue.release(claim);
  }
  assert.deepEqual(
    order,
    Array.from({ length: count - 1 }, (_, i) => i + 1),
  );
  assert.ok(most < MAX_COMPARED, `${most} others hung on one`);
  assert.equal(queue.size, 0);
});

test('those in line are compared when it is their turn, and one that is given back there leaves it', () => {
  const queue = new RangeQueue();
  const claims = Array.from({ length: MAX_COMPARED }, (_, i) => write(queue, 8 * i));
  const [given, free, blocked] = [write(queue, -8), write(queue, -16), write(queue, 8)];
  assert.equal(free.isFree, false);
  queue.release(given);
  queue.release(claims[0] as Claim);
  assert.ok(free.isFree);
  queue.release(claims[2] as Claim);
  assert.equal(given.isFree, false);
  assert.equal(blocked.isFree, false);
  queue.release(claims[1] as Claim);
  assert.ok(blocked.isFree);
});

test('addresses at the two ends of 64 bits are told apart, or wait for each other', () => {
  const queue = new RangeQueue();
  const top = (1n << 64n) - 8n;
  const low = queue.claim(0n, 8, false);
  const high = queue.claim(top, 8, false);
  assert.ok(low.isFree);
  assert.equal(high.isFree, false);
  const after = queue.claim(8n, 8, false);
  queue.release(low);
  assert.ok(high.isFree);
  assert.equal(after.isFree, false);
  queue.release(high);
  assert.ok(after.isFree);
});
