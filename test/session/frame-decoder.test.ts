import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameDecoder } from '../../src/session/frame-decoder.js';
import {
  type DecodedFrame,
  encodeFrame,
  type Frame,
  MAX_FRAME_BODY_BYTES,
} from '../../src/session/frames.js';
import { toPsn } from '../../src/verbs/brands.js';
import { PARAMETERS, rawFrame } from './support.js';

const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.integer({ min: 0, max: 0xffffff }).map((psn): Frame => ({ type: 'psn', psn: toPsn(psn) })),
  fc.constant<Frame>({ type: 'ready' }),
  fc.constant<Frame>({ type: 'parameters', ...PARAMETERS }),
  fc
    .record({ reason: fc.string({ maxLength: 200 }), received: fc.integer({ min: 0, max: 0xffffffff }) })
    .map((told): Frame => ({ type: 'bye', ...told })),
  fc
    .record({ code: fc.string({ maxLength: 60 }), message: fc.string({ maxLength: 500 }) })
    .map((texts): Frame => ({ type: 'error', ...texts })),
);

/** Cuts `bytes` at the given places (anything; taken modulo the length). */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  const ends = [...sorted, bytes.length];
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

function decodeAll(chunks: readonly Uint8Array[]): DecodedFrame[] {
  const decoder = new FrameDecoder();
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

test('frames come out the same however their bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 8 }),
      fc.array(fc.nat(20_000), { maxLength: 40 }),
      (frames, places) => {
        const bytes = Buffer.concat(frames.map(encodeFrame));
        const expected = frames.map((frame): DecodedFrame => ({ ok: true, frame }));
        assert.deepEqual(decodeAll(cut(bytes, places)), expected);
        assert.deepEqual(decodeAll([...bytes].map((byte) => Uint8Array.of(byte))), expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('arbitrary bytes never throw, and give the same result however they are cut', () => {
  const chunks = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.uint8Array({ maxLength: 100 }).map((body) => rawFrame(body)),
    fc.json().map((body) => rawFrame(body)),
    anyFrame.map(encodeFrame),
  );
  fc.assert(
    fc.property(
      fc.array(chunks, { maxLength: 6 }),
      fc.array(fc.nat(4000), { maxLength: 20 }),
      (parts, places) => {
        const bytes = Buffer.concat(parts);
        const whole = decodeAll([bytes]);
        assert.deepEqual(decodeAll(cut(bytes, places)), whole);
        const violations = whole.filter((decoded) => !decoded.ok);
        assert.ok(violations.length <= 1);
        if (violations.length === 1) assert.equal(whole.at(-1)?.ok, false);
      },
    ),
    { numRuns: 300 },
  );
});

test('a body of 4096 bytes is read, one of 4097 is refused by its prefix alone', () => {
  const padded = Buffer.from('{"v":1,"type":"ready"}'.padEnd(MAX_FRAME_BODY_BYTES));
  assert.deepEqual(decodeAll([rawFrame(padded)]), [{ ok: true, frame: { type: 'ready' } }]);
  for (const announcedBytes of [MAX_FRAME_BODY_BYTES + 1, 0x7fffffff, 0xffffffff]) {
    const [refused, ...more] = decodeAll([rawFrame('', announcedBytes), encodeFrame({ type: 'ready' })]);
    assert.ok(refused !== undefined && !refused.ok);
    assert.equal(refused.violation.reason, 'frame_too_large');
    assert.match(refused.violation.message, new RegExp(`4096 bytes, this one announces ${announcedBytes}`));
    assert.deepEqual(more, [], 'a stream that lost its framing yields nothing more');
  }
});

test('an empty body is not JSON', () => {
  const [decoded] = decodeAll([rawFrame('')]);
  assert.ok(decoded !== undefined && !decoded.ok);
  assert.equal(decoded.violation.reason, 'not_json');
});

test('frames are decoded one by one as they are asked for', () => {
  const decoder = new FrameDecoder();
  const bytes = Buffer.concat([encodeFrame({ type: 'ready' }), rawFrame('x')]);
  const frames = decoder.push(bytes);
  assert.deepEqual(frames.next().value, { ok: true, frame: { type: 'ready' } });
  assert.equal(decoder.insideFrame, false);
  const second = frames.next().value as DecodedFrame;
  assert.equal(second.ok, false);
  assert.equal(frames.next().done, true);
});

test('the decoder knows whether it stands inside a frame', () => {
  const decoder = new FrameDecoder();
  const bytes = encodeFrame({ type: 'ready' });
  assert.equal(decoder.insideFrame, false);
  for (const [index, byte] of bytes.entries()) {
    for (const decoded of decoder.push(Uint8Array.of(byte))) assert.ok(decoded.ok);
    assert.equal(decoder.insideFrame, index < bytes.length - 1);
  }
});
