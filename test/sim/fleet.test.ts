/** The simulation of clients whose servers die: with the machines that clients and servers run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FleetCase, FleetRun } from '../../tools/sim/fleet-model.js';

const CASE: FleetCase = {
  servers: 10,
  clients: 1000,
  dead: 1,
  backAfterMillis: Number.POSITIVE_INFINITY,
  recoveryMillis: 2000,
  handshakesPerSecond: 300,
  maxHandshakes: 4096,
  pause: 'pace',
  seed: 3,
};

test('the clients of a dead server come to the others when the time for recovery is over, by one handshake each', () => {
  const result = new FleetRun(CASE).run();
  assert.ok(result.lost > 60 && result.lost < 140, `${result.lost}`);
  assert.ok(result.halfMillis > 2000, 'they seek their own server first');
  assert.ok(result.allMillis < 3000, `${result.allMillis}`);
  assert.equal(result.handshakesEach, 1);
  assert.deepEqual(new FleetRun(CASE).run(), result, 'a seed is a run');
});

test('pauses that grow bring everybody back where equal ones bring nobody', () => {
  const storm = { ...CASE, servers: 1, clients: 600, backAfterMillis: 500, maxHandshakes: 64 };
  assert.ok(new FleetRun(storm).run().allMillis < 60_000);
  assert.equal(
    new FleetRun({ ...storm, recoveryMillis: 0, pause: 100 }).run().allMillis,
    Number.POSITIVE_INFINITY,
  );
  const roomy = new FleetRun({ ...storm, maxHandshakes: 4096 }).run();
  // A handshake to be told that the server knows nothing of the connection, and one for the new connection.
  assert.ok(roomy.handshakesEach >= 2 && roomy.handshakesEach < 2.5, `${roomy.handshakesEach}`);
  assert.ok(roomy.allMillis < 500 + (2 * 600 * 1000) / 300 + 1000, `${roomy.allMillis}`);
});
