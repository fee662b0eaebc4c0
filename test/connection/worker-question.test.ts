import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Question } from '../../src/connection/workers/question.js';
import { ManualClock } from '../../testkit/rates.js';

test('a question is put once, all who ask meanwhile get its answer, and nothing when it does not come in time', async () => {
  const clock = new ManualClock();
  const waiting: ((answer: string) => void)[] = [];
  const question = new Question<string | null>(
    () => new Promise((resolve) => waiting.push(resolve)),
    null,
    clock,
  );
  const both = [question.answer(), question.answer()];
  assert.equal(waiting.length, 1);
  waiting[0]?.('one');
  assert.deepEqual(await Promise.all(both), ['one', 'one']);
  const late = question.answer();
  assert.equal(waiting.length, 2);
  clock.advance(1000);
  assert.equal(await late, null);
  for (let i = 0; i < 100; i++) assert.equal(await question.answer(), null);
  assert.equal(waiting.length, 2, 'nothing piles up');
  waiting[1]?.('two');
  await new Promise(setImmediate);
  const next = question.answer();
  waiting[2]?.('three');
  assert.equal(await next, 'three');
});

test('a question that is refused rejects, and can be put again', async () => {
  const question = new Question<number>(() => Promise.reject(new Error('no')), 0, new ManualClock());
  for (let i = 0; i < 2; i++) await assert.rejects(question.answer(), /no/);
});
