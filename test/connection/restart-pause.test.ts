/** The pause before another worker takes the place of one that died. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestartPause } from '../../src/connection/workers/restart-pause.js';

test('workers that die early are replaced later and later, up to a limit, until one has lived for long', () => {
  const pause = new RestartPause();
  const pauses = [500, 10, 10, 10, 10, 10, 10, 10, 10, 10].map((livedMillis) =>
    pause.afterDeath(livedMillis),
  );
  assert.deepEqual(pauses, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  assert.equal(pause.afterDeath(1001), 0);
  assert.equal(pause.afterDeath(10), 0);
  assert.equal(pause.afterDeath(10), 100);
});
