/** The benchmark of fairness: how it compares, and that a small one gives every figure. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jainIndex } from '../../tools/bench/fairness/fairness.js';

interface Line {
  readonly event?: string;
  readonly case?: string;
  readonly encrypted?: boolean;
  readonly jain?: number;
  readonly roundTripsPerSecond?: readonly number[];
  readonly goal?: string;
}

const MAIN = fileURLToPath(new URL('../../tools/bench/main.js', import.meta.url));

test("Jain's index is 1 for equal shares, and one of n where one has all", () => {
  assert.equal(jainIndex([3, 3, 3, 3]), 1);
  assert.equal(jainIndex([8, 0, 0, 0]), 1 / 4);
  assert.equal(jainIndex([0, 0]), 1);
  assert.equal(jainIndex([1, 3]), 0.8);
  assert.throws(() => jainIndex([]), RangeError);
});

test('a short one gives a figure and a verdict for equal and for modest clients, clear and encrypted', () => {
  const args = [MAIN, '--only', 'fairness', '--quick', '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.equal(status, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const rows = lines.filter(({ jain }) => jain !== undefined);
  assert.deepEqual(
    rows.map((row) => [row.case, row.encrypted]),
    [
      ['equal', false],
      ['equal', true],
      ['greedy', false],
      ['greedy', true],
    ],
  );
  for (const { jain = 0, roundTripsPerSecond = [] } of rows) {
    assert.equal(roundTripsPerSecond.length, 8);
    assert.ok(jain > 1 / 8 && jain <= 1, `${jain}`);
  }
  assert.equal(lines.filter(({ goal }) => goal !== undefined).length, 4);
});
