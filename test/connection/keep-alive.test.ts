/** When thousands of connections look after their peers: never together, whatever made them come together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeepAlive } from '../../src/connection/keep-alive.js';
import { Random } from '../../testkit/random.js';

const INTERVAL_MILLIS = 5000;
const CONNECTIONS = 10_000;
const SLICE_MILLIS = 200;
/** Of the connections, where all slices of an interval have the same share. */
const FAIR_SHARE = (CONNECTIONS * SLICE_MILLIS) / INTERVAL_MILLIS;

const seed = Date.now() % 1_000_000;

/** Connections that came up at once. */
function upTogether(): KeepAlive[] {
  const random = new Random(seed);
  return Array.from({ length: CONNECTIONS }, () => {
    const keepAlive = new KeepAlive(INTERVAL_MILLIS);
    keepAlive.begin(0, random.unit());
    return keepAlive;
  });
}

/** The most looks in one slice of time. */
function mostAtOnce(connections: readonly KeepAlive[]): number {
  const looks = new Map<number, number>();
  for (const { lookAt } of connections) {
    const slice = Math.floor(lookAt / SLICE_MILLIS);
    looks.set(slice, (looks.get(slice) ?? 0) + 1);
  }
  return Math.max(...looks.values());
}

test(`connections that come up together do not look together (seed ${seed})`, () => {
  assert.ok(mostAtOnce(upTogether()) < 1.5 * FAIR_SHARE, `${mostAtOnce(upTogether())} of ${FAIR_SHARE}`);
});

for (const lateMillis of [100, 2500, 4900, 12_000]) {
  test(`looks that were late together, by ${lateMillis} ms and more, are apart again at the next (seed ${seed})`, () => {
    const connections = upTogether();
    const now = INTERVAL_MILLIS + lateMillis;
    for (const connection of connections) connection.look(now);
    assert.ok(mostAtOnce(connections) < 1.5 * FAIR_SHARE, `${mostAtOnce(connections)} of ${FAIR_SHARE}`);
    for (const { lookAt } of connections) {
      assert.ok(lookAt >= now + INTERVAL_MILLIS / 2, 'what was sent at a look gets time for an answer');
      assert.ok(lookAt <= now + 1.5 * INTERVAL_MILLIS, 'and no look is left out');
    }
  });
}

test('looks that are in time come once in an interval, and say for how long nothing was heard', () => {
  const keepAlive = new KeepAlive(INTERVAL_MILLIS);
  keepAlive.begin(1000, 0.25);
  const silences: number[] = [];
  for (let i = 0; i < 4; i++) {
    if (i === 2) keepAlive.heard(keepAlive.lookAt - 10);
    silences.push(keepAlive.look(keepAlive.lookAt));
  }
  assert.deepEqual(silences, [1250, 6250, 10, 5010]);
});

test('what a process that stood still did not hear does not count as silence', () => {
  const keepAlive = new KeepAlive(INTERVAL_MILLIS);
  keepAlive.begin(0, 1);
  assert.equal(keepAlive.look(INTERVAL_MILLIS + 60_000), INTERVAL_MILLIS);
});
