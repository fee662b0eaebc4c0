import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generatePsn } from '../../src/session/psn-source.js';

test('each of the 24 bits of a PSN comes up as 0 and as 1, and no other bit does', () => {
  let seenSet = 0;
  let seenClear = 0;
  // A fair bit that shows one face 512 times in a row has probability 2^-511.
  for (let draw = 0; draw < 512; draw += 1) {
    const psn = generatePsn();
    assert.ok(Number.isInteger(psn) && psn >= 0 && psn <= 0xffffff);
    seenSet |= psn;
    seenClear |= ~psn & 0xffffff;
  }
  assert.equal(seenSet, 0xffffff);
  assert.equal(seenClear, 0xffffff);
});

test('PSNs fill their space evenly and do not repeat more than chance has it', () => {
  const draws = 4096;
  const slices = new Array<number>(16).fill(0);
  const distinct = new Set<number>();
  for (let draw = 0; draw < draws; draw += 1) {
    const psn = generatePsn();
    distinct.add(psn);
    slices[psn >>> 20] = (slices[psn >>> 20] ?? 0) + 1;
  }
  // 256 are expected in each sixteenth, with a deviation of 15.5: 120 away is beyond 7 of those.
  for (const count of slices) assert.ok(Math.abs(count - 256) < 120, `a sixteenth got ${count} of ${draws}`);
  // Half a repetition is expected; more than 15 are beyond 10^-17.
  assert.ok(distinct.size >= draws - 15);
});
