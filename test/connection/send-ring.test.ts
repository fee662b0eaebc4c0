/** Room in the send buffer: in one piece, nobody's else, and given back in order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SendRing } from '../../src/connection/fragments/send-ring.js';

test('a fragment takes as much room as it has bytes, and none is left when the buffer is full', () => {
  const ring = new SendRing(100);
  assert.equal(ring.placeFor(60), 0);
  ring.take(0, 10);
  assert.equal(ring.placeFor(60), 10);
  ring.take(10, 60);
  assert.equal(ring.placeFor(60), -1);
  assert.equal(ring.placeFor(30), 70);
  assert.equal(ring.fragments, 2);
});

test('what does not fit before the end of the buffer goes to its beginning, when there is room', () => {
  const ring = new SendRing(100);
  ring.take(ring.placeFor(50), 50);
  ring.take(ring.placeFor(40), 40);
  assert.equal(ring.placeFor(20), -1);
  ring.giveBack();
  assert.equal(ring.placeFor(20), 0);
  ring.take(0, 20);
  assert.equal(ring.placeFor(31), -1);
  assert.equal(ring.placeFor(30), 20);
  ring.giveBack();
  ring.giveBack();
  assert.equal(ring.placeFor(100), 0);
});

test('a buffer that is cleared has room for the longest fragment', () => {
  const ring = new SendRing(100);
  ring.take(ring.placeFor(70), 70);
  ring.clear();
  assert.equal(ring.fragments, 0);
  assert.equal(ring.placeFor(100), 0);
});

test('fragments under way never share a byte, whatever their lengths are', () => {
  const step = fc.oneof(
    fc.record({
      longest: fc.integer({ min: 1, max: 64 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.constant('back' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ring = new SendRing(64);
      const underWay: { from: number; to: number }[] = [];
      for (const one of steps) {
        if (one === 'back') {
          if (underWay.shift() !== undefined) ring.giveBack();
          continue;
        }
        const place = ring.placeFor(one.longest);
        if (place < 0) {
          assert.ok(underWay.length > 0, 'an empty buffer has room');
          continue;
        }
        const to = place + Math.max(1, Math.round(one.longest * one.share));
        assert.ok(to <= 64 && underWay.every((other) => to <= other.from || other.to <= place));
        ring.take(place, to - place);
        underWay.push({ from: place, to });
      }
      assert.equal(ring.fragments, underWay.length);
    }),
  );
});
