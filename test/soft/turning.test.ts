/** How a driver waits, in a time that passes only while it looks. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Turning } from '../../src/soft/turning.js';

const LOOK_MICROS = 5;
/** A look in which somebody else had the processor. */
const LONG_LOOK_MICROS = 1000;
/** Packets that are so far apart do not come close together, and any rest is over. */
const APART_MICROS = 100_000;
/** Turns of the event loop after which whoever still turned would have been seen. */
const QUIET_TURNS = 5;

const skip = availableParallelism() === 1 && 'one processor: it never turns';

class Rig {
  readonly turning: Turning;
  /** When something is due, and how often it was told so. */
  deadline = Number.POSITIVE_INFINITY;
  wake = Number.POSITIVE_INFINITY;
  told = 0;
  lookMicros = LOOK_MICROS;
  /** How long others take when they may go first, and when they did. */
  othersMicros = 1;
  readonly given: number[] = [];
  /** When the next packet comes. */
  comesAt = Number.POSITIVE_INFINITY;
  #looks = 0;
  #now = 0;
  #heardAt = 0;

  constructor() {
    const look = (): boolean => {
      this.#looks++;
      this.#now += this.lookMicros;
      if (this.#now < this.comesAt) return false;
      this.comesAt = Number.POSITIVE_INFINITY;
      return true;
    };
    const waiting = {
      look,
      giveWay: () => {
        this.given.push(this.#now - this.#heardAt);
        this.#now += this.othersMicros;
      },
      nextDeadline: () => this.deadline,
      nextWake: () => this.wake,
      onDeadline: () => {
        this.told++;
        this.wake = Number.POSITIVE_INFINITY;
      },
      setTurning() {},
      setBusy() {},
    };
    this.turning = new Turning(waiting, true, () => this.#now);
  }

  /** Something was heard `afterMicros` after all that was before, and an answer comes so much later; returns when others went first meanwhile. */
  async answer(afterMicros: number, delayMicros: number): Promise<readonly number[]> {
    this.comesAt = this.#now + afterMicros + delayMicros;
    assert.ok((await this.hear(afterMicros)) > 0);
    const waited = this.#heardAt + delayMicros;
    return this.given.filter((at) => this.#heardAt + at < waited);
  }

  get now(): number {
    return this.#now;
  }

  pass(micros: number): void {
    this.#now += micros;
  }

  /** Something is heard `afterMicros` after all that was before; returns how often it looked for more. */
  async hear(afterMicros: number): Promise<number> {
    this.#now += afterMicros;
    this.#heardAt = this.#now;
    this.given.length = 0;
    const before = this.#looks;
    this.turning.wait();
    for (let turns = 0, seen = before; turns < QUIET_TURNS; turns = seen === this.#looks ? turns + 1 : 0) {
      seen = this.#looks;
      await nextTurn();
    }
    return this.#looks - before;
  }
}

test('a device of which something is heard now and then does not turn for it, and turns again when packets come close together', {
  skip,
}, async () => {
  const rig = new Rig();
  const looks: boolean[] = [];
  for (let i = 0; i < 6; i++) looks.push((await rig.hear(APART_MICROS)) > 0);
  assert.deepEqual(looks, [true, true, true, true, false, false]);
  assert.ok((await rig.hear(1)) > 0, 'two came close together');
  rig.turning.stop();
});

test('a device whose look was interrupted leaves the processor to others for a while', { skip }, async () => {
  const rig = new Rig();
  rig.lookMicros = LONG_LOOK_MICROS;
  assert.equal(await rig.hear(APART_MICROS), 1);
  rig.lookMicros = LOOK_MICROS;
  assert.equal(await rig.hear(1), 0);
  assert.ok((await rig.hear(APART_MICROS)) > 0);
  rig.turning.stop();
});

test('that while is 2 ms, and twice as long when others want the processor again at once', {
  skip,
}, async () => {
  const rig = new Rig();
  rig.lookMicros = LONG_LOOK_MICROS;
  assert.equal(await rig.hear(APART_MICROS), 1);
  assert.equal(await rig.hear(1900), 0);
  assert.equal(await rig.hear(200), 1);
  rig.lookMicros = LOOK_MICROS;
  assert.equal(await rig.hear(3900), 0);
  assert.ok((await rig.hear(200)) > 0);
  rig.lookMicros = LONG_LOOK_MICROS;
  assert.equal(await rig.hear(APART_MICROS), 1);
  rig.lookMicros = LOOK_MICROS;
  // Which may be in vain once too often; the next comes close behind.
  await rig.hear(2100);
  assert.ok((await rig.hear(1)) > 0, 'it is short again');
  rig.turning.stop();
});

test('a device gives nothing away for an answer that comes soon, and lets others go first when it has waited for longer', {
  skip,
}, async () => {
  const rig = new Rig();
  assert.deepEqual(await rig.answer(APART_MICROS, 25), []);
  await rig.hear(APART_MICROS);
  assert.ok(rig.given.length > 10);
  assert.ok(Math.min(...rig.given) > 25);
  rig.turning.stop();
});

test('after many packets at once it lets others go first in every look, for 1 ms', { skip }, async () => {
  const rig = new Rig();
  rig.turning.noteMany(rig.now);
  await rig.hear(1);
  assert.equal(rig.given[0], LOOK_MICROS);
  assert.deepEqual(await rig.answer(1000, 25), []);
  rig.turning.stop();
});

test('a peer that runs while this device gives way has the same processor: for 1 ms it goes first in every look', {
  skip,
}, async () => {
  const rig = new Rig();
  rig.othersMicros = 40;
  assert.deepEqual(await rig.answer(APART_MICROS, 60), [35]);
  assert.deepEqual(await rig.answer(100, 40), [LOOK_MICROS]);
  assert.deepEqual(await rig.answer(2000, 25), [], 'that was long ago');
  rig.turning.stop();
});

test('others that take a time slice, or after which nothing is there, do not go first in every look', {
  skip,
}, async () => {
  const long = new Rig();
  long.othersMicros = 3000;
  await long.answer(APART_MICROS, 60);
  assert.equal(await long.hear(1000), 0, 'it rests');
  long.othersMicros = 1;
  assert.deepEqual(await long.answer(2000, 25), []);
  long.turning.stop();
  const inVain = new Rig();
  inVain.othersMicros = 40;
  await inVain.hear(APART_MICROS);
  assert.deepEqual(await inVain.answer(1, 25), []);
  inVain.turning.stop();
});

test('a packet that comes after long, while nobody else wants the processor, says nothing of its sender', {
  skip,
}, async () => {
  const rig = new Rig();
  await rig.answer(APART_MICROS, 60);
  assert.deepEqual(await rig.answer(1, 25), []);
  rig.turning.stop();
});

test('a device that gives way to one that gives way as well goes on with its event loop', {
  skip,
}, async () => {
  const rig = new Rig();
  rig.othersMicros = 40;
  const looks = await rig.hear(APART_MICROS);
  assert.ok(looks < 25, `${looks} looks of 200 µs`);
  rig.turning.stop();
});

test('a sleeping device is told of a deadline, and not of one that was put off meanwhile', async () => {
  const rig = new Rig();
  const due = new Promise<void>((resolve) => setTimeout(resolve, 20));
  rig.wake = 5000;
  rig.turning.rest();
  // The answer has come, and another is waited for.
  rig.wake = 8000;
  rig.pass(6000);
  await due;
  assert.equal(rig.told, 0);
  rig.pass(3000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(rig.told, 1);
  rig.turning.stop();
});

test('a device that sleeps has no timer for deadlines at which there would be nothing to do', async () => {
  const rig = new Rig();
  rig.deadline = 5000;
  rig.turning.rest();
  rig.pass(6000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([rig.told, rig.turning.wakeUps], [0, 0]);
  rig.turning.stop();
});
