/** Parts of a remote buffer lie inside of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';

test('a part of a remote buffer ends where it does, at the latest', () => {
  const buffer = new RemoteBuffer(0x1000n, 1, 64);
  assert.equal(buffer.at(60).length, 4);
  assert.equal(buffer.at(0, 64).length, 64);
  for (const [offset, length] of [
    [0, 65],
    [60, 5],
    [65, 0],
  ] as const) {
    assert.throws(() => buffer.at(offset, length), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  }
});

test('a remote buffer ends where its memory does, at the latest', () => {
  const last = 2n ** 64n - 8n;
  assert.equal(new RemoteBuffer(last, 1, 8).length, 8);
  assert.throws(() => new RemoteBuffer(last, 1, 9), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
});
