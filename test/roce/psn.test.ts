import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PSN_MASK, psnAdd, psnCompare, psnDiff, psnDistance, psnInWindow } from '../../src/roce/psn.js';

const COUNT = 1n << 24n;
const HALF = 1n << 23n;
const mod = (value: bigint): bigint => ((value % COUNT) + COUNT) % COUNT;

/** The signed distance as the text book has it. */
function modelDiff(a: number, b: number): number {
  const steps = mod(BigInt(a) - BigInt(b));
  return Number(steps >= HALF ? steps - COUNT : steps);
}

/** Distances at which shifts, signs and the circle turn over. */
const JUMPS = [0, 1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 2 ** 16 - 1, 2 ** 16]
  .concat([2 ** 23 - 1, 2 ** 23, 2 ** 23 + 1, 2 ** 24 - 1, 2 ** 24, 2 ** 24 + 1])
  .concat([2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1]);
const EDGES = [0, 1, 31, 32, 33, 2 ** 23 - 1, 2 ** 23, 2 ** 23 + 1, PSN_MASK - 1, PSN_MASK];

const anyPsn = fc.oneof(fc.integer({ min: 0, max: PSN_MASK }), fc.constantFrom(...EDGES));
const anyJump = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.constantFrom(...JUMPS),
  fc.constantFrom(...JUMPS).map((jump) => -jump),
);

test('adding agrees with BigInt arithmetic for every jump', () => {
  fc.assert(
    fc.property(anyPsn, anyJump, (psn, jump) => {
      assert.equal(psnAdd(psn, jump), Number(mod(BigInt(psn) + BigInt(jump))));
    }),
    { numRuns: 2000 },
  );
});

test('every pair of an edge and a named jump agrees with BigInt arithmetic', () => {
  for (const psn of EDGES) {
    for (const jump of JUMPS.flatMap((value) => [value, -value])) {
      const moved = psnAdd(psn, jump);
      assert.equal(moved, Number(mod(BigInt(psn) + BigInt(jump))), `${psn} + ${jump}`);
      assert.equal(psnDiff(moved, psn), modelDiff(moved, psn), `${moved} - ${psn}`);
      assert.equal(psnCompare(moved, psn), Math.sign(modelDiff(moved, psn)), `${moved} <=> ${psn}`);
      assert.equal(psnDistance(psn, moved), Number(mod(BigInt(jump))), `${psn} to ${moved}`);
    }
  }
});

test('the signed difference agrees with BigInt arithmetic and undoes adding', () => {
  fc.assert(
    fc.property(anyPsn, anyPsn, (a, b) => {
      assert.equal(psnDiff(a, b), modelDiff(a, b));
      assert.equal(psnAdd(b, psnDiff(a, b)), a);
    }),
    { numRuns: 2000 },
  );
});

test('half of the circle ahead is later, the rest and the opposite point are earlier', () => {
  assert.equal(psnCompare(psnAdd(5, 2 ** 23 - 1), 5), 1);
  assert.equal(psnCompare(psnAdd(5, 2 ** 23), 5), -1);
  assert.equal(psnCompare(psnAdd(5, 2 ** 23 + 1), 5), -1);
  assert.equal(psnDiff(psnAdd(5, 2 ** 23), 5), -(2 ** 23));
  assert.equal(psnCompare(0, PSN_MASK), 1);
  assert.equal(psnCompare(PSN_MASK, 0), -1);
  assert.equal(psnCompare(PSN_MASK, PSN_MASK), 0);
});

test('comparing the two ways round gives opposite signs, except at the opposite point', () => {
  fc.assert(
    fc.property(anyPsn, anyPsn, (a, b) => {
      const isOpposite = psnDistance(a, b) === 2 ** 23;
      assert.equal(psnCompare(a, b), isOpposite ? -1 : 0 - psnCompare(b, a));
    }),
    { numRuns: 2000 },
  );
});

test('the unsigned distances of a pair add up to the whole circle', () => {
  fc.assert(
    fc.property(anyPsn, anyPsn, (a, b) => {
      assert.equal(psnDistance(a, b), Number(mod(BigInt(b) - BigInt(a))));
      assert.equal(psnDistance(a, b) + psnDistance(b, a), a === b ? 0 : 2 ** 24);
    }),
    { numRuns: 2000 },
  );
});

test('a window contains its first PSN, not its end, and agrees with walking through it', () => {
  fc.assert(
    fc.property(anyPsn, fc.nat(300), fc.integer({ min: -400, max: 400 }), (first, size, offset) => {
      const inside = offset >= 0 && offset < size;
      assert.equal(psnInWindow(psnAdd(first, offset), first, psnAdd(first, size)), inside);
    }),
    { numRuns: 2000 },
  );
});

test('windows larger than half of the circle still work', () => {
  for (const size of [2 ** 23 - 1, 2 ** 23, 2 ** 23 + 1, 2 ** 24 - 1]) {
    for (const first of EDGES) {
      const end = psnAdd(first, size);
      assert.equal(psnInWindow(first, first, end), true);
      assert.equal(psnInWindow(psnAdd(end, -1), first, end), true);
      assert.equal(psnInWindow(end, first, end), false);
      assert.equal(psnInWindow(psnAdd(first, -1), first, end), false);
    }
  }
});

test('an empty window contains nothing', () => {
  fc.assert(fc.property(anyPsn, anyPsn, (psn, at) => !psnInWindow(psn, at, at)));
});
