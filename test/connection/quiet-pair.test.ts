/** Two ends of a connection in which nobody says anything: who of them sends signs of life, and how often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Clock, ClockTimer } from '../../src/connection/common/clock.js';
import { StepReporter } from '../../src/connection/common/steps.js';
import type { TimerOwner } from '../../src/connection/common/timer-wheel.js';
import { DataPath } from '../../src/connection/data-path/data-path.js';
import { Lifeline } from '../../src/connection/lifeline/lifeline.js';
import { MemoryRendezvous } from '../../src/connection/lifeline/memory-rendezvous.js';
import type { Rendezvous } from '../../src/connection/lifeline/rendezvous.js';
import { Connection } from '../../src/connection/program/connection.js';
import { type LifelineKind, withDefaults } from '../../src/connection/terms/options.js';
import { openDevicePair } from '../../src/open-device.js';
import { ProcessHold } from '../../src/process-hold.js';
import type { Device } from '../../src/verbs/device.js';

const INTERVAL_MILLIS = 1000;
const LIMITS = { recoveryMillis: 0, quitMillis: 1000 };

/** A clock that is moved by hand, and the timers of connections on it. */
class HandClock implements Clock {
  /** Timers that were called. */
  calls = 0;
  readonly #due = new Map<ClockTimer, { readonly at: number; readonly owner: TimerOwner }>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  timer(owner: TimerOwner): ClockTimer {
    const due = this.#due;
    const timer: ClockTimer = {
      get isSet() {
        return due.has(timer);
      },
      set: (delayMillis) => void due.set(timer, { at: this.#now + delayMillis, owner }),
      stop: () => void due.delete(timer),
    };
    return timer;
  }

  /** Time passes; after each timer `settle` waits until what came of it has happened. */
  async pass(millis: number, settle: () => Promise<void>): Promise<void> {
    const until = this.#now + millis;
    for (;;) {
      const [next] = [...this.#due].sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined || next[1].at > until) break;
      this.#due.delete(next[0]);
      this.#now = Math.max(this.#now, next[1].at);
      this.calls++;
      next[1].owner.onTimer();
      await settle();
    }
    this.#now = until;
  }
}

interface End {
  readonly connection: Connection;
  readonly dataPath: DataPath;
  /** Messages that hold nothing. */
  beats: number;
  /** Messages that only a program answers. */
  asks: number;
}

async function open(
  rendezvous: Rendezvous,
  device: Device,
  clock: Clock,
  random: number,
  lifeline: LifelineKind,
  keepAliveMillis: number,
): Promise<End> {
  const limits = withDefaults({ lifeline });
  const reporter = new StepReporter(0, undefined);
  const dataPath = new DataPath(device, limits, reporter, false, clock);
  const nextRendezvous = (): Promise<Rendezvous> => Promise.reject(new Error('there is no other rendezvous'));
  const recovery = { ...LIMITS, keepAliveMillis };
  const options = { dataPath, reporter, limits: recovery, nextRendezvous, clock, random: () => random };
  const life = new Lifeline(rendezvous, options);
  await life.establish();
  const connection = new Connection(0, life, dataPath, limits, { hold: new ProcessHold(false) });
  const end: End = { connection, dataPath, beats: 0, asks: 0 };
  const beat = dataPath.beat.bind(dataPath);
  dataPath.beat = () => {
    end.beats++;
    beat();
  };
  const ask = dataPath.askProgram.bind(dataPath);
  dataPath.askProgram = () => {
    end.asks++;
    ask();
  };
  return end;
}

async function withPair(
  use: (ends: readonly [End, End], clock: HandClock) => Promise<void>,
  lifeline: LifelineKind = 'session',
  /** How many intervals the interval of each end is long. */
  [ofServer, ofClient]: readonly [number, number] = [1, 1],
): Promise<void> {
  const hold = new ProcessHold();
  const devices = openDevicePair();
  const clock = new HandClock();
  const { server, client } = MemoryRendezvous.pair();
  try {
    const ends = await Promise.all([
      open(server, devices[0], clock, 0.2, lifeline, ofServer * INTERVAL_MILLIS),
      open(client, devices[1], clock, 0.7, lifeline, ofClient * INTERVAL_MILLIS),
    ]);
    await use(ends, clock);
    let isClosed = false;
    const closed = Promise.all(ends.map(({ connection }) => connection.close())).finally(() => {
      isClosed = true;
    });
    // A brief life ends by its timers, and other ends by their messages alone.
    for (; !isClosed; await setImmediate()) await clock.pass(1, async () => {});
    await closed;
  } finally {
    await Promise.all(devices.map((device) => device.close({ force: true })));
    hold.end();
  }
}

/** Until the device has said that the peer has everything, which the peer knows then as well. */
const settled = (ends: readonly End[]) => async (): Promise<void> => {
  for (const { dataPath } of ends) await dataPath.answered();
};

test('one message in eight intervals, of each end in turn, is enough for both', async () => {
  await withPair(async (ends, clock) => {
    await clock.pass(240 * INTERVAL_MILLIS, settled(ends));
    const beats = ends.map((end) => end.beats);
    const all = (beats[0] ?? 0) + (beats[1] ?? 0);
    assert.ok(all >= 30 && all <= 35, `${beats}`);
    assert.ok(Math.abs(2 * (beats[0] ?? 0) - all) <= 1, `${beats}`);
    assert.ok(clock.calls <= 40, `${clock.calls} timers: the end that hears wakes for nothing`);
  });
});

test('without a session, a program that is asked because the other end has more patience answers, and is not lost', async () => {
  await withPair(
    async (ends, clock) => {
      await clock.pass(240 * INTERVAL_MILLIS, settled(ends));
      const asks = ends.map((end) => end.asks);
      assert.ok((asks[0] ?? 0) >= 10, `${asks}`);
      assert.equal(asks[1], 0);
      for (const { connection } of ends) assert.equal(connection.session, 'left');
    },
    'brief',
    [1, 4],
  );
});

test('after messages the first sign of life comes within two intervals, and quiet returns', async () => {
  await withPair(async (ends, clock) => {
    const [server, client] = ends;
    await clock.pass(5.3 * INTERVAL_MILLIS, settled(ends));
    for (let i = 0; i < 20; i++) {
      const before = server.beats + client.beats;
      await client.connection.send(new Uint8Array(10));
      await server.connection.receive();
      assert.equal(server.beats + client.beats, before);
      await clock.pass(2 * INTERVAL_MILLIS, settled(ends));
      assert.ok(server.beats + client.beats > before, 'nobody was silent for longer');
      await clock.pass((i / 7) * INTERVAL_MILLIS, settled(ends));
    }
    const before = server.beats + client.beats;
    await clock.pass(20 * INTERVAL_MILLIS, settled(ends));
    assert.ok(server.beats + client.beats - before <= 12);
  });
});

test('without a session, programs that take their turns are not asked, and are never taken for lost', async () => {
  await withPair(async (ends, clock) => {
    for (const { connection } of ends) assert.equal(connection.session, 'left');
    await clock.pass(240 * INTERVAL_MILLIS, settled(ends));
    const beats = ends.map((end) => end.beats);
    assert.ok(Math.min(...beats) >= 14, `${beats}`);
    assert.deepEqual(
      ends.map((end) => end.asks),
      [0, 0],
    );
    await ends[0].connection.send('still there');
    assert.equal((await ends[1].connection.receive())?.data.length, 11);
  }, 'brief');
});
