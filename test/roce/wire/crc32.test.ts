import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { crc32 } from '../../../src/roce/wire/crc32.js';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test('the check value of CRC-32 comes out', () => {
  const bytes = ascii('123456789');
  assert.equal(crc32(bytes, 0, bytes.length), 0xcbf43926);
  assert.equal(crc32(bytes, 4, 4), 0);
});

test('any range of any bytes has the CRC that zlib computes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.nat(), fc.nat(), (bytes, a, b, seed) => {
      const at = a % (bytes.length + 1);
      const end = at + (b % (bytes.length + 1 - at));
      // Over an array without memory, zlib.crc32 forgets the seed.
      const expected = at === end ? seed : zlibCrc32(bytes.subarray(at, end), seed);
      assert.equal(crc32(bytes, at, end, seed), expected);
    }),
    { numRuns: 1000 },
  );
});

test('every length around the 16-byte step, at every alignment, agrees with zlib', () => {
  const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 151 + 7) & 255);
  for (let at = 0; at < 16; at += 1) {
    for (let end = at; end <= bytes.length; end += 1) {
      assert.equal(crc32(bytes, at, end, 0xffffffff), zlibCrc32(bytes.subarray(at, end), 0xffffffff));
    }
  }
});

test('a CRC continues over pieces', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (bytes, cut) => {
      const middle = cut % bytes.length;
      const running = crc32(bytes, 0, middle, 0);
      assert.equal(crc32(bytes, middle, bytes.length, running), crc32(bytes, 0, bytes.length, 0));
    }),
  );
});

test('bytes of a larger buffer are read from the view, not from its start', () => {
  const whole = ascii('xxxx123456789yyyy');
  assert.equal(crc32(whole.subarray(4, 13), 0, 9, 0), 0xcbf43926);
});
