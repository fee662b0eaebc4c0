/** The mutation harness, on a package of one file: what counts as noticed, and what it refuses to judge. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Fault } from '../../tools/mutation/fault.js';
import { CannotJudge, type Outcome, tryFaults } from '../../tools/mutation/harness.js';
import { createToy, FAULT } from './toy.js';

const LIMIT_MILLIS = 4_000;

async function tryOne(t: TestContext, fault: Partial<Fault>): Promise<Outcome> {
  const outcomes = await tryFaults(
    [{ ...FAULT, ...fault }],
    { root: createToy(t), jobs: 1, limitMillis: LIMIT_MILLIS },
    () => {},
  );
  assert.equal(outcomes.length, 1);
  return outcomes[0] as Outcome;
}

test('a fault that a test objects to is noticed, and the test is named', async (t) => {
  const { noticed, by, sign } = await tryOne(t, {});
  assert.deepEqual({ noticed, by }, { noticed: true, by: 'test/toy' });
  assert.match(sign, /^the last one: /);
});

test('a fault that no test objects to is not noticed', async (t) => {
  const { noticed, sign } = await tryOne(t, { find: 'count >= 3', replace: 'count >= 2' });
  assert.deepEqual({ noticed, sign }, { noticed: false, sign: 'nothing objected' });
});

test('a fault that only keeps a file busy until its time is over is not noticed', async (t) => {
  const { noticed, sign } = await tryOne(t, { find: 'count >= 3', replace: 'count < 0' });
  assert.deepEqual({ noticed, sign }, { noticed: false, sign: 'no verdict within 4 s' });
});

test('a fault that only keeps a test busy until its time is over is not noticed', async (t) => {
  const judges = ['test/impatient'];
  const { noticed, sign } = await tryOne(t, { find: 'count >= 3', replace: 'count < 0', judges });
  assert.deepEqual({ noticed, sign }, { noticed: false, sign: 'only a time limit was exceeded' });
});

test('a fault for which there was no time is tried once more, alone, and told once', async (t) => {
  const seen = { ...FAULT, id: 'seen' };
  const late = { ...FAULT, id: 'late', find: 'count >= 3', replace: 'count < 0', judges: ['test/impatient'] };
  const told: string[] = [];
  const outcomes = await tryFaults(
    [late, seen],
    { root: createToy(t), jobs: 2, limitMillis: LIMIT_MILLIS },
    ({ fault }) => told.push(fault.id),
  );
  assert.deepEqual(told, ['seen', 'late']);
  assert.deepEqual(
    outcomes.map(({ noticed, isLate }) => ({ noticed, isLate })),
    [
      { noticed: true, isLate: false },
      { noticed: false, isLate: true },
    ],
  );
});

test('a fault that ends the process is noticed', async (t) => {
  const { noticed, sign } = await tryOne(t, { find: 'count >= 3', replace: '(process.exit(7) as never)' });
  assert.equal(noticed, true);
  assert.match(sign, /the process ended with code 7/);
});

test('the next judge is asked when one has nothing to object', async (t) => {
  const judges = ['test/impatient', 'test/toy'];
  const { by } = await tryOne(t, { judges });
  assert.equal(by, 'test/impatient');
});

test('a fault whose text is not there any more, or twice, is an error and not a verdict', async (t) => {
  for (const find of ['items.length - 2', 'export const']) {
    await assert.rejects(
      tryOne(t, { find }),
      (error) => error instanceof CannotJudge && /the text of the fault [02] times/.test(error.message),
    );
  }
});

test('a judge that objects to the code as it is, or that is not there, judges nothing', async (t) => {
  for (const judge of ['test/wrong', 'test/missing']) {
    await assert.rejects(tryOne(t, { judges: [judge] }), CannotJudge);
  }
});
