import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTap } from '../../tools/lab/tap.js';

test('results of the outermost level are read, with the reasons of skips and failures', () => {
  const text = `TAP version 13
# Subtest: works
ok 1 - works
  ---
  duration_ms: 1.5
  ...
# Subtest: group
    # Subtest: inner
    not ok 1 - inner
      ---
      error: 'inner reason'
      ...
not ok 2 - group
  ---
  duration_ms: 2
  error: '1 subtest failed'
  ...
ok 3 - left out # SKIP rxe0 has no windows
not ok 4 - long
  ---
  error: |-
    Expected values to be equal
  ...
1..4
`;
  assert.deepEqual(parseTap(text), [
    { name: 'works', outcome: 'passed', detail: '' },
    { name: 'group', outcome: 'failed', detail: '1 subtest failed' },
    { name: 'left out', outcome: 'skipped', detail: 'rxe0 has no windows' },
    { name: 'long', outcome: 'failed', detail: 'Expected values to be equal' },
  ]);
});
