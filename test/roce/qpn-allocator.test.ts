/** Numbers of queue pairs: which there are not, and how long one rests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QpnAllocator } from '../../src/roce/qp/qpn-allocator.js';

function allocatorOf(...numbers: readonly number[]): QpnAllocator {
  const left = [...numbers];
  return new QpnAllocator(() => left.shift() ?? assert.fail('it asks for more numbers'));
}

test('no queue pair gets a number that is set aside, or one that is in use', () => {
  const allocator = allocatorOf(0, 1, 0xffffff, 5, 5, 6);
  assert.equal(allocator.allocate(0), 5);
  assert.equal(allocator.allocate(0), 6);
});

test('a number that was given back rests for a minute', () => {
  const allocator = allocatorOf(5, 5, 6, 5);
  assert.equal(allocator.allocate(0), 5);
  allocator.release(5, 1000);
  assert.equal(allocator.allocate(59_000_000), 6);
  assert.equal(allocator.allocate(60_001_000), 5);
});
