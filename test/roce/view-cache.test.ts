import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCache } from '../../src/roce/view-cache.js';

/** `length` bytes that tell their place, in the middle of a larger buffer. */
function placed(length: number, first: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(length + 8), 4, length);
  for (let i = 0; i < length; i++) bytes[i] = first + i;
  return bytes;
}

test('a view is always of the place and length that are asked for', () => {
  const cache = new ViewCache();
  const bytes = placed(4096, 0);
  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < 4000; at += 7) {
      for (const length of [1, 2, 64, 96]) {
        const view = cache.view(bytes, at, length);
        assert.equal(view.buffer, bytes.buffer);
        assert.equal(view.byteOffset, bytes.byteOffset + at);
        assert.equal(view.length, length);
      }
    }
  }
});

test('a view is made once for the same part of the same buffer', () => {
  const cache = new ViewCache();
  const bytes = placed(64, 0);
  cache.view(bytes, 8, 16);
  const view = cache.view(bytes, 8, 16);
  assert.equal(cache.view(bytes, 8, 16), view);
  assert.notEqual(cache.view(bytes, 8, 15), view);
});

test('views of a buffer are not taken for those of the next one', () => {
  const cache = new ViewCache();
  const first = placed(64, 1);
  const second = placed(64, 101);
  for (let i = 0; i < 4; i++) {
    assert.equal(cache.view(first, 8, 16)[0], 9);
    assert.equal(cache.view(first, 8, 16)[0], 9);
    assert.equal(cache.view(second, 8, 16)[0], 109);
    if (i > 1) assert.equal(cache.view(second, 8, 16)[0], 109);
  }
});
