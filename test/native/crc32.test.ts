/** The addon's ways to a CRC-32, each against zlib: their steps are 16 to 512 bytes long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { loadAddon } from '../../src/native/addon.js';

const addon = loadAddon();
const WAYS = ['crc32', 'crc32Copy', 'crc32Portable', 'crc32Folding', 'crc32Wide256', 'crc32Wide512'] as const;
const LONGEST = 4500;

for (const way of WAYS) {
  const compute = typeof addon === 'string' ? undefined : addon[way];
  const skip = compute === undefined ? 'the addon or this processor does not have it' : false;

  test(`${way}: every length around every step, at every alignment, agrees with zlib`, { skip }, () => {
    const bytes = Uint8Array.from({ length: LONGEST }, (_, i) => (i * 151 + (i >> 8) + 7) & 255);
    for (const step of [0, 16, 32, 64, 128, 256, 512, 576, 768, 1024, 4096]) {
      for (let length = Math.max(1, step - 17); length <= step + 17; length++) {
        const at = (step + length) % 67;
        const expected = zlibCrc32(bytes.subarray(at, at + length), 0x1234567);
        assert.equal(compute?.(bytes, at, at + length, 0x1234567), expected, `${length} bytes at ${at}`);
      }
    }
  });

  test(`${way}: any bytes in any two pieces agree with zlib`, { skip }, () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: LONGEST, size: 'max' }),
        fc.nat(),
        fc.nat({ max: 0xffffffff }),
        (bytes, cut, seed) => {
          const middle = cut % bytes.length;
          const first = compute?.(bytes, 0, middle, seed) ?? 0;
          assert.equal(compute?.(bytes, middle, bytes.length, first), zlibCrc32(bytes, seed));
        },
      ),
      { numRuns: 300 },
    );
  });
}
