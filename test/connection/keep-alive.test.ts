/** When thousands of connections look after their peers: as seldom as they may, and never together, whatever made them come together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeepAlive } from '../../src/connection/lifeline/keep-alive.js';
import { withDefaults } from '../../src/connection/terms/options.js';
import { pathSettings, quitMillis } from '../../src/connection/terms/path-options.js';
import { Random } from '../../testkit/random.js';

const INTERVAL_MILLIS = 5000;
const CONNECTIONS = 10_000;
const SLICE_MILLIS = 200;
/** Of the connections, where all slices of an interval have the same share. */
const FAIR_SHARE = (CONNECTIONS * SLICE_MILLIS) / INTERVAL_MILLIS;

const seed = Date.now() % 1_000_000;

function up(random: number, now = 0): KeepAlive {
  const keepAlive = new KeepAlive(INTERVAL_MILLIS);
  keepAlive.begin(now, random);
  return keepAlive;
}

/** A look that is not late: for how long the peer was silent, at how many looks, and whether it is lost. */
function lookInTime(keepAlive: KeepAlive): [number, number, boolean] {
  const silentMillis = keepAlive.look(keepAlive.lookAt);
  return [silentMillis, keepAlive.silentLooks, keepAlive.isLost];
}

/** Connections that came up at once. */
function upTogether(): KeepAlive[] {
  const random = new Random(seed);
  return Array.from({ length: CONNECTIONS }, () => up(random.unit()));
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

for (const lateMillis of [100, 1000, 2500, 4900, 12_000]) {
  test(`looks that were late together, by ${lateMillis} ms and more, are apart again at the next (seed ${seed})`, () => {
    const connections = upTogether();
    const now = 2 * INTERVAL_MILLIS + lateMillis;
    for (const connection of connections) connection.look(now);
    assert.ok(mostAtOnce(connections) < 1.5 * FAIR_SHARE, `${mostAtOnce(connections)} of ${FAIR_SHARE}`);
    for (const { lookAt } of connections) {
      assert.ok(lookAt >= now + INTERVAL_MILLIS / 4, 'what was sent at a look gets time for an answer');
      assert.ok(lookAt <= now + 1.5 * INTERVAL_MILLIS, 'and no look is left out');
    }
    for (const connection of connections) connection.heard(now + 1);
    assert.ok(mostAtOnce(connections) < 1.5 * FAIR_SHARE, 'also when all are answered at once');
    for (const { lookAt } of connections) assert.ok(lookAt <= now + 1 + 4.25 * INTERVAL_MILLIS);
    // Peers that have more patience never take a turn.
    for (let round = 0; round < 3; round++) {
      for (const connection of connections) {
        const at = connection.lookAt;
        connection.look(at + 100);
        connection.heard(at + 101);
      }
      assert.ok(mostAtOnce(connections) < 1.5 * FAIR_SHARE, `round ${round}`);
    }
  });
}

test('while something moves there is one look in an interval, however often it moves, and none finds a silence', () => {
  const keepAlive = up(0.3);
  keepAlive.moved(1000);
  const looks: number[] = [];
  for (let now = 1000; now < 1000 + 10 * INTERVAL_MILLIS; now += 10) {
    keepAlive.moved(now);
    if (now < keepAlive.lookAt) continue;
    keepAlive.look(now);
    looks.push(now);
    assert.equal(keepAlive.silentLooks, 0);
  }
  assert.ok(looks.length >= 9 && looks.length <= 10, `${looks}`);
});

test('nothing was heard for between one interval and two when the first look after something moved finds it', () => {
  const random = new Random(seed);
  for (let i = 0; i < 1000; i++) {
    const keepAlive = up(random.unit());
    const lastAt = INTERVAL_MILLIS * (1 + 3 * random.unit());
    for (let now = 0; now < lastAt; now += random.int(10, 900)) {
      if (now >= keepAlive.lookAt) keepAlive.look(now);
      keepAlive.moved(now);
    }
    keepAlive.moved(lastAt);
    let now = keepAlive.lookAt;
    while (keepAlive.silentLooks === 0) {
      now = keepAlive.lookAt;
      keepAlive.look(now);
    }
    const silentMillis = now - lastAt;
    assert.ok(
      silentMillis >= INTERVAL_MILLIS / 2 && silentMillis <= 2 * INTERVAL_MILLIS,
      `${silentMillis} ms, seed ${seed}`,
    );
  }
});

/** Two ends of a silent connection: messages of each, and the longest time between two. `lateMillis`: of timers, at most. */
function silentPair(random: Random, lateMillis: number): { sent: [number, number]; longestMillis: number } {
  const ends = [up(random.unit()), up(random.unit(), 3)] as const;
  const sent: [number, number] = [0, 0];
  let heardAt = 0;
  let longestMillis = 0;
  // How late the timer of each end is that is set for this time.
  const timers = ends.map(({ lookAt }) => ({ lookAt, late: lateMillis * random.unit() }));
  const dueAt = (at: 0 | 1): number => {
    const { lookAt } = ends[at];
    if (timers[at]?.lookAt !== lookAt) timers[at] = { lookAt, late: lateMillis * random.unit() };
    return lookAt + (timers[at]?.late ?? 0);
  };
  for (let now = 0; now < 200 * INTERVAL_MILLIS; ) {
    const at = dueAt(0) < dueAt(1) ? 0 : 1;
    now = dueAt(at);
    ends[at].look(now);
    if (ends[at].silentLooks === 0) continue;
    sent[at]++;
    longestMillis = Math.max(longestMillis, now - heardAt);
    heardAt = now;
    ends[1 - at]?.heard(now + 0.1);
    ends[at].heard(now + 0.3);
  }
  return { sent, longestMillis };
}

test(`the ends of a silent connection take turns, and one message in seven to eight intervals serves both (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let i = 0; i < 200; i++) {
    const { sent, longestMillis } = silentPair(random, SLICE_MILLIS);
    assert.ok(Math.abs(sent[0] - sent[1]) <= 1, `${sent}`);
    const all = sent[0] + sent[1];
    // Two or three at first, until patience has grown.
    assert.ok(all <= 3 + 200 / 7 && all >= 200 / 7.6, `${sent}`);
    assert.ok(longestMillis <= 8 * INTERVAL_MILLIS + SLICE_MILLIS, `${longestMillis} ms`);
  }
});

test('patience doubles with each sign that breaks a silence, and is as it was when something moves', () => {
  const keepAlive = up(1);
  const patience = (): number => {
    const heardAt = keepAlive.lookAt;
    keepAlive.heard(heardAt);
    return (keepAlive.lookAt - heardAt) / INTERVAL_MILLIS;
  };
  // Its turn comes up to five quarters of an interval sooner.
  assert.deepEqual([patience(), patience(), patience()], [3, 7, 7]);
  const now = keepAlive.lookAt;
  keepAlive.heard(now + 1);
  keepAlive.heard(now + 2);
  keepAlive.moved(now + 3);
  keepAlive.look(keepAlive.lookAt);
  keepAlive.look(keepAlive.lookAt);
  assert.ok(keepAlive.isQuiet);
  keepAlive.heard(keepAlive.lookAt);
  assert.ok(keepAlive.lookAt <= now + 3 + 7 * INTERVAL_MILLIS);
});

test('signs that come one after another make nobody more patient', () => {
  const keepAlive = up(1);
  for (let now = 1; now < 100; now++) keepAlive.heard(now);
  assert.equal(keepAlive.lookAt, INTERVAL_MILLIS);
});

test('a patient end asks in its turn, and finds nine intervals after the last sign that nobody answers', () => {
  const keepAlive = up(1);
  keepAlive.heard(10_000);
  keepAlive.heard(30_000);
  assert.deepEqual(
    [lookInTime(keepAlive), lookInTime(keepAlive), lookInTime(keepAlive)],
    [
      [35_000, 1, false],
      [37_500, 2, false],
      [45_000, 3, true],
    ],
  );
});

test('a brief end tells for how long it may not notice a silence, by looks or by its queue pair', () => {
  let longestMillis = 0;
  for (let phase = 0; phase < 1; phase += 1 / 64) {
    const keepAlive = up(phase);
    keepAlive.heard(10_000);
    keepAlive.look(25_000);
    keepAlive.heard(30_000);
    // A timer of so long a time may be a second late.
    const askedMillis = keepAlive.look(keepAlive.lookAt + 1000);
    longestMillis = Math.max(longestMillis, askedMillis);
    while (!keepAlive.isLost) lookInTime(keepAlive);
    const lostMillis = keepAlive.lookAt - 30_000;
    for (const path of [{}, { timeout: 19 }]) {
      const { noticeMillis } = withDefaults({ keepAliveMillis: INTERVAL_MILLIS, path });
      const byQueuePair = askedMillis + quitMillis(pathSettings(path));
      assert.ok(noticeMillis >= Math.min(lostMillis, byQueuePair), `${noticeMillis} ms`);
    }
  }
  assert.ok(longestMillis > 8.4 * INTERVAL_MILLIS, 'it was the other end that was to speak');
});

test('a link that comes up again is looked after as at first', () => {
  const keepAlive = up(1);
  keepAlive.heard(10_000);
  keepAlive.heard(30_000);
  keepAlive.begin(50_000, 1);
  keepAlive.heard(60_000);
  assert.equal(keepAlive.lookAt, 75_000);
});

test(`patient ends that hear their peers at once do not look together (seed ${seed})`, () => {
  const connections = upTogether();
  for (let round = 0; round < 4; round++) {
    const now = Math.max(...connections.map(({ lookAt }) => lookAt)) + 100;
    for (const connection of connections) connection.heard(now);
    assert.ok(mostAtOnce(connections) < 1.5 * FAIR_SHARE, `${mostAtOnce(connections)} of ${FAIR_SHARE}`);
  }
});

test('an end whose peer is gone asks in its turn, and finds within three intervals that nobody answers', () => {
  const keepAlive = up(1);
  keepAlive.heard(3000);
  assert.deepEqual(
    [lookInTime(keepAlive), lookInTime(keepAlive), lookInTime(keepAlive)],
    [
      [7000, 1, false],
      [9500, 2, false],
      [15_000, 3, true],
    ],
  );
});

test(`a peer is lost an interval after patience ends, whoever sent last and however late timers are (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let i = 0; i < 1000; i++) {
    const keepAlive = up(random.unit());
    const late = (): number => SLICE_MILLIS * random.unit();
    let now = keepAlive.lookAt + late();
    keepAlive.look(now);
    const heardAt = now + 1;
    keepAlive.heard(heardAt);
    while (!keepAlive.isLost) {
      now = keepAlive.lookAt + late();
      keepAlive.look(now);
    }
    const silentMillis = now - heardAt;
    assert.equal(keepAlive.silentLooks, 3);
    // Patience has doubled once.
    assert.ok(silentMillis >= 5 * INTERVAL_MILLIS, `${silentMillis} ms`);
    assert.ok(silentMillis <= 5 * INTERVAL_MILLIS + SLICE_MILLIS, `${silentMillis} ms`);
  }
});

for (const lateMillis of [1000, 4900, 60_000]) {
  test(`a process that stood still asks before it gives a peer up, with a look that is ${lateMillis} ms late`, () => {
    const keepAlive = up(1);
    keepAlive.look(2 * INTERVAL_MILLIS);
    const stoppedMillis = 4 * INTERVAL_MILLIS;
    keepAlive.lookAt = stoppedMillis - lateMillis;
    keepAlive.look(stoppedMillis);
    assert.equal(keepAlive.isLost, false);
    keepAlive.heard(stoppedMillis + 1);
    keepAlive.look(keepAlive.lookAt);
    assert.equal(keepAlive.isLost, false);
  });
}

test('where nobody looks, nothing is ever noted', () => {
  const keepAlive = new KeepAlive(0);
  keepAlive.begin(5, 0.5);
  assert.equal(keepAlive.isQuiet, false);
  keepAlive.moved(6);
  keepAlive.heard(7);
  assert.equal(keepAlive.isQuiet, false);
});
