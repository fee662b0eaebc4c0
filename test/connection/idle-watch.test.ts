/** Idle connections: they are found, once, and cost nothing afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleWatch } from '../../src/connection/data-path/idle-watch.js';
import { ManualClock } from '../../testkit/rates.js';

/** A watch with a clock that the test moves. */
class Rig {
  progress = 0;
  looks = 0;
  /** Whether there is more to be done after the next look. */
  isMore = false;
  readonly watch: IdleWatch;
  readonly #clock = new ManualClock();

  constructor() {
    this.watch = new IdleWatch({
      clock: this.#clock,
      progress: () => this.progress,
      onIdle: () => {
        this.looks++;
        return this.isMore;
      },
    });
  }

  get timers(): number {
    return this.#clock.timers;
  }

  wait(millis: number): void {
    this.#clock.advance(millis);
  }

  /** Something goes on. */
  work(): void {
    this.progress++;
    this.watch.note();
  }
}

test('a connection is idle when nothing went on from one look to the next, and is not looked at again', () => {
  const rig = new Rig();
  assert.equal(rig.timers, 0);
  for (let i = 0; i < 10; i++) {
    rig.work();
    rig.work();
    assert.equal(rig.timers, 1);
    rig.wait(4000);
  }
  assert.equal(rig.looks, 0);
  rig.wait(5000);
  rig.wait(5000);
  assert.equal(rig.looks, 1);
  assert.equal(rig.timers, 0, 'a silent one has no timer');
  rig.work();
  rig.wait(5000);
  assert.equal(rig.looks, 2);
});

test('one with more to be done is looked at until that is done', () => {
  const rig = new Rig();
  rig.isMore = true;
  rig.work();
  for (let i = 0; i < 4; i++) rig.wait(5000);
  assert.equal(rig.looks, 4);
  rig.isMore = false;
  rig.wait(5000);
  assert.equal(rig.looks, 5);
  assert.equal(rig.timers, 0);
});

test('nothing is watched after the end', () => {
  const rig = new Rig();
  rig.work();
  rig.watch.end();
  rig.watch.end();
  assert.equal(rig.timers, 0);
  rig.work();
  assert.equal(rig.timers, 0);
});

test('a watch that ends while it looks does not begin anew', () => {
  const rig = new Rig();
  rig.isMore = true;
  rig.work();
  Object.defineProperty(rig, 'looks', { get: () => 0, set: () => rig.watch.end() });
  rig.wait(5000);
  assert.equal(rig.timers, 0);
});
