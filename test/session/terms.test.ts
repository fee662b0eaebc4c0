/** What thousands of peers promise alike is kept once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { type Terms, termsSchema } from '../../src/session/terms.js';

const termsOf = (changed: object = {}): Terms =>
  v.parse(termsSchema, {
    receive: { slots: 2, slotBytes: 4096 },
    messages: { maxBytes: 1000, windowBytes: 1000 },
    streams: { open: 8, windowBytes: 1000 },
    buffer: null,
    received: 0,
    brief: { noticeMillis: 5000 },
    device: 'soft',
    ...changed,
  });

test('promises that are equal to those of the peer before are the same objects', () => {
  const [one, other] = [termsOf(), termsOf()];
  for (const part of ['receive', 'messages', 'streams', 'brief'] as const)
    assert.equal(one[part], other[part], part);
});

test('a promise that differs is what its peer said, and changes that of nobody else', () => {
  const before = termsOf();
  const changed = termsOf({ receive: { slots: 2, slotBytes: 8192 }, brief: { noticeMillis: 5001 } });
  assert.deepEqual([changed.receive.slotBytes, changed.brief?.noticeMillis], [8192, 5001]);
  assert.equal(changed.messages, before.messages);
  assert.deepEqual([before.receive.slotBytes, before.brief?.noticeMillis], [4096, 5000]);
  assert.deepEqual(termsOf(), before);
});
