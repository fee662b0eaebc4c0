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
  #looks = 0;
  #now = 0;

  constructor() {
    const look = (): boolean => {
      this.#looks++;
      this.#now += this.lookMicros;
      return false;
    };
    const waiting = {
      look,
      giveWay() {},
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

  pass(micros: number): void {
    this.#now += micros;
  }

  /** Something is heard `afterMicros` after all that was before; returns how often it looked for more. */
  async hear(afterMicros: number): Promise<number> {
    this.#now += afterMicros;
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
