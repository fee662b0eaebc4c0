/** When thousands of connections look after their peers: never together, whatever made them come together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeepAlive } from '../../src/connection/lifeline/keep-alive.js';
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

test('a peer is lost after three silent intervals and two looks that it left unanswered, whichever comes last', () => {
  const keepAlive = new KeepAlive(INTERVAL_MILLIS);
  keepAlive.begin(0, 0.5);
  const looks = (): [number, boolean] => {
    const silentMillis = keepAlive.look(keepAlive.lookAt);
    return [silentMillis, keepAlive.isLost(silentMillis)];
  };
  assert.deepEqual(
    [looks(), looks(), looks(), looks()],
    [
      [2500, false],
      [7500, false],
      [12_500, false],
      [17_500, true],
    ],
  );
});

for (const lateMillis of [1000, 4900, 60_000]) {
  test(`a process that stood still asks before it gives a peer up, with a look that is ${lateMillis} ms late`, () => {
    const keepAlive = new KeepAlive(INTERVAL_MILLIS);
    keepAlive.begin(0, 1);
    keepAlive.look(INTERVAL_MILLIS);
    const stoppedMillis = 4 * INTERVAL_MILLIS;
    keepAlive.lookAt = stoppedMillis - lateMillis;
    assert.equal(keepAlive.isLost(keepAlive.look(stoppedMillis)), false);
    keepAlive.heard(stoppedMillis + 1);
    assert.equal(keepAlive.isLost(keepAlive.look(keepAlive.lookAt)), false);
  });
}
