/** Atomics on 64 bits in two halves agree with those on whole numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { executeAtomic } from '../../src/roce/qp/atomics.js';
import { SavedOperation } from '../../src/roce/qp/saved-operations.js';

const LOW = 0xffffffffn;
const EDGES = [0n, 1n, LOW - 1n, LOW, LOW + 1n, 1n << 63n, (1n << 64n) - 1n, LOW << 32n];
const word = fc.oneof(fc.constantFrom(...EDGES), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
/** Of two words, often one half is the same. */
const near = (value: bigint, other: bigint, which: number): bigint =>
  [other, value, (value & LOW) | (other & ~LOW), (value & ~LOW) | (other & LOW)][which] as bigint;

test('fetch-and-add and compare-and-swap do and return what whole numbers do', () => {
  fc.assert(
    fc.property(word, word, word, fc.nat(3), fc.boolean(), (value, operand, other, which, isSwap) => {
      const compare = near(value, other, which);
      const memory = Buffer.alloc(8);
      memory.writeBigUInt64LE(value);
      const saved = new SavedOperation();
      executeAtomic(
        saved,
        memory,
        0,
        isSwap,
        Number(operand >> 32n),
        Number(operand & LOW),
        Number(compare >> 32n),
        Number(compare & LOW),
      );
      const swapped = value === compare ? operand : value;
      assert.equal(memory.readBigUInt64LE(), isSwap ? swapped : BigInt.asUintN(64, value + operand));
      assert.equal((BigInt(saved.originalHigh) << 32n) | BigInt(saved.originalLow), value);
    }),
    { numRuns: 2000 },
  );
});

test('a sum that ends with ones alone does not carry, the next one does', () => {
  for (const [add, expected] of [
    [LOW, LOW],
    [LOW + 1n, LOW + 1n],
  ] as const) {
    const memory = Buffer.alloc(8);
    executeAtomic(new SavedOperation(), memory, 0, false, Number(add >> 32n), Number(add & LOW), 0, 0);
    assert.equal(memory.readBigUInt64LE(), expected);
  }
});
