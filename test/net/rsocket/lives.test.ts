/** Two machines that keep the rules, whatever their programs do and however slow the way between them is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveRsocket, RSOCKET_MARKS } from '../../../testkit/rsocket-life.js';

const LIVES = 1500;

test('bytes arrive once, in order and to the end, whatever is small, slow or ended early', () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= LIVES; seed++) {
    try {
      for (const mark of liveRsocket(seed).marks.keys()) seen.add(mark);
    } catch (error) {
      assert.fail(`npm run sim -- --rsocket --seed ${seed}: ${(error as Error).stack}`);
    }
  }
  assert.deepEqual([...seen].toSorted(), [...RSOCKET_MARKS].toSorted());
});
