/** The machine of a connection's life, in lives in which anything happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LifelineInput } from '../../../src/connection/lifeline/lifeline-events.js';
import { Random } from '../../../testkit/random.js';
import { ABORT, fail, Life, linkFailed, notMet, rendezvousEnded } from './life.js';

/** What is asked for and answered once, with its answers. */
const ANSWERS: Readonly<Record<string, readonly (() => LifelineInput)[]>> = {
  meet: [
    () => ({ type: 'met' }),
    () => ({ type: 'met', brief: { noticeMillis: 300 } }),
    () => notMet(),
    () => notMet(fail('ERR_RDMA_PROTOCOL')),
  ],
  'next-rendezvous': [
    () => ({ type: 'new-rendezvous' }),
    () => ({ type: 'no-rendezvous', error: fail('ERR_RDMA_TIMEOUT') }),
  ],
  disconnect: [
    () => ({ type: 'disconnected' }),
    () => ({ type: 'disconnected', error: fail('ERR_RDMA_PROTOCOL') }),
  ],
  destroy: [() => ({ type: 'destroyed' })],
  finish: [() => ({ type: 'finished' })],
};

const SURPRISES: readonly (() => LifelineInput)[] = [
  () => linkFailed(),
  () => linkFailed(),
  () => ({ type: 'heard' }),
  () => ({ type: 'peer-may-be-up' }),
  () => ({ type: 'peer-restarted' }),
  () => rendezvousEnded(),
  () => ({ type: 'answered' }),
  () => ({ type: 'peer-quit' }),
  () => ({ type: 'parted' }),
  () => ({ type: 'peer-bye' }),
  () => ({ type: 'quit-done' }),
  () => ({ type: 'bye-done' }),
  () => ({ type: 'peer-close' }),
  () => ({ type: 'peer-close', error: fail('ERR_RDMA_REFUSED') }),
  () => ({ type: 'close-told' }),
  () => ({ type: 'close' }),
];

test('random lives: one thing at a time, freed once and last, and over in bounded time after an abort', () => {
  const seed = Number(process.env['SEED'] ?? 1);
  for (let i = 0; i < 3000; i++) {
    const random = new Random(seed + i);
    const pick = <T>(values: readonly T[]): T => values[random.int(0, values.length - 1)] as T;
    const life = new Life();
    const running = new Set<string>();
    const counts: Record<string, number> = {};
    const take = (does: string): void => {
      for (const name of does.split(' ').filter((word) => word in ANSWERS)) {
        assert.equal(running.size, 0, `seed ${seed + i}: ${name} beside ${[...running]}`);
        running.add(name);
        counts[name] = (counts[name] ?? 0) + 1;
      }
    };
    const settle = (isLast: boolean): void => {
      const [name] = running;
      if (name === undefined) return;
      running.delete(name);
      const answers = ANSWERS[name] as readonly (() => LifelineInput)[];
      const answer = (isLast ? answers.at(-1) : pick(answers))?.() as LifelineInput;
      if (answer.type === 'new-rendezvous') life.rendezvous = 'open';
      take(life.does(answer));
    };
    take(life.does('start'));
    for (let step = 0; step < 60; step++) {
      if (random.int(0, 9) === 0) life.rendezvous = pick(['open', 'lost', 'parted', 'left']);
      if (random.int(0, 3) === 0) life.machine.progress();
      const what = random.int(0, 2);
      if (what === 0) settle(false);
      else if (what === 1) take(life.does(pick(SURPRISES)()));
      else take(life.passes(random.int(0, 100)));
    }
    take(life.does(ABORT));
    for (let step = 0; step < 4; step++) settle(true);
    assert.equal(life.where(), 'ended', `seed ${seed + i}`);
    assert.deepEqual([counts['destroy'], counts['finish']], [1, 1], `seed ${seed + i}`);
  }
});
