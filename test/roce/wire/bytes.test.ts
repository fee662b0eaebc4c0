import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as be from '../../../src/roce/wire/bytes.js';

const LENGTH = 24;
const anyU32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff),
);
const anyAt = fc.nat(LENGTH - 8);

test('16, 24 and 32 bits come out as DataView would read them, and touch nothing else', () => {
  fc.assert(
    fc.property(anyU32, anyAt, (value, at) => {
      const cases = [
        [2, value & 0xffff, be.writeU16, be.readU16],
        [3, value & 0xffffff, be.writeU24, be.readU24],
        [4, value, be.writeU32, be.readU32],
      ] as const;
      for (const [size, expected, write, read] of cases) {
        const bytes = new Uint8Array(LENGTH).fill(0xa5);
        write(bytes, at, value);
        assert.equal(read(bytes, at), expected);
        const text = Buffer.from(bytes.subarray(at, at + size)).toString('hex');
        assert.equal(text, expected.toString(16).padStart(size * 2, '0'));
        assert.equal(bytes.filter((byte, i) => (i < at || i >= at + size) && byte !== 0xa5).length, 0);
      }
    }),
  );
});

test('a signed and an unsigned word are the same 32 bits', () => {
  fc.assert(
    fc.property(anyU32, (value) => {
      const bytes = new Uint8Array(4);
      be.writeU32(bytes, 0, value | 0);
      assert.equal(be.readU32(bytes, 0), value);
      assert.equal(be.readI32(bytes, 0), value | 0);
    }),
  );
});

test('virtual addresses survive the way through 64 bits exactly', () => {
  const edges = fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER);
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeNat(), edges), anyAt, (va, at) => {
      const bytes = new Uint8Array(LENGTH);
      be.writeVa(bytes, at, va);
      assert.equal(be.readVa(bytes, at), va);
      assert.equal(new DataView(bytes.buffer).getBigUint64(at), BigInt(va));
    }),
  );
});

test('a virtual address that a number cannot hold reads as -1', () => {
  const view = new DataView(new ArrayBuffer(8));
  const read = (va: bigint): number => {
    view.setBigUint64(0, va);
    return be.readVa(new Uint8Array(view.buffer), 0);
  };
  assert.equal(read(2n ** 53n - 1n), Number.MAX_SAFE_INTEGER);
  assert.equal(read(2n ** 53n), -1);
  assert.equal(read(2n ** 63n), -1);
  assert.equal(read(2n ** 64n - 1n), -1);
});
