/** The parts of the fuzzer: coverage leads to faults that chance does not, and what is found is made small. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../testkit/random.js';
import { Campaign } from '../../tools/fuzz/campaign.js';
import { Choices } from '../../tools/fuzz/choices.js';
import { Coverage } from '../../tools/fuzz/coverage.js';
import { type Crash, describeCrash, minimize } from '../../tools/fuzz/crash.js';
import { Mutator } from '../../tools/fuzz/mutator.js';
import { parseOptions } from '../../tools/fuzz/options.js';
import { Finding, type Target } from '../../tools/fuzz/target.js';
import { COVERED_PATH, lockTarget, oddTarget } from './toys/catalog.js';

const SEED = 20;
const COUNT = 60_000;

async function campaign(target: Target, coverage: Coverage): Promise<{ crashes: Crash[]; corpus: number }> {
  const crashes: Crash[] = [];
  const options = { count: COUNT, untilMillis: Number.POSITIVE_INFINITY, seed: SEED, coverage };
  const { corpus } = await new Campaign(target, {
    ...options,
    onInput: () => {},
    onProgress: () => {},
    onCrash: (crash) => crashes.push(crash),
  }).run();
  return { crashes, corpus };
}

test('coverage leads to a fault behind six questions in a row, which the same number of blind tries misses', async () => {
  const guide = new Coverage(COVERED_PATH);
  const guided = await campaign(lockTarget(), guide);
  guide.stop();
  assert.deepEqual(
    guided.crashes.map(({ message }) => message),
    ['TypeError: the lock is open'],
    `seed ${SEED}`,
  );
  assert.ok(guided.corpus >= 5, 'an input is kept for every question that it answered');

  const blindfold = new Coverage('/no such path/');
  const blind = await campaign(lockTarget(), blindfold);
  blindfold.stop();
  assert.deepEqual(blind.crashes, []);
});

test('a fault is reported once, and its input has no step that it does without', async () => {
  const coverage = new Coverage(COVERED_PATH);
  const { crashes } = await campaign(oddTarget(), coverage);
  coverage.stop();
  assert.equal(crashes.length, 1);
  const [crash] = crashes;
  assert.match(crash?.message ?? '', /^Finding: the first byte is \d+$/);
  assert.equal(crash?.input.length, 8);
});

test('an input is cut wherever the same thing still goes wrong, its last step too', async () => {
  const run = (input: Uint8Array): void => {
    if (input.includes(7)) throw new Finding('a seven');
    if (input.length > 20) throw new Finding('too long');
  };
  const input = new Uint8Array(37);
  input[34] = 7;
  const crash = await minimize(run, 4, describeCrash('x', input, new Finding('a seven')));
  assert.deepEqual([...crash.input], [0, 0, 7, 0, 0].slice(0, crash.input.length));
});

test('faults with different numbers in their message are the same, faults from different lines are not', () => {
  const of = (error: unknown): string => describeCrash('x', new Uint8Array(0), error).signature;
  assert.equal(of(new Finding('offset 17')), of(new Finding('offset 4')));
  const [a, b] = Array.from({ length: 2 }, () => new Error('no'));
  assert.equal(of(a), of(b));
  assert.notEqual(of(a), of(new Error('no')));
});

test('the same seed makes the same inputs, and another one others', () => {
  const corpus = [new Uint8Array(64), new Uint8Array(32).fill(9)];
  const inputs = (seed: number): string[] => {
    const mutator = new Mutator(new Random(seed), 16, 8);
    return Array.from({ length: 200 }, (_, i) =>
      Buffer.from(i % 3 === 0 ? mutator.fresh() : mutator.mutate(corpus)).toString('hex'),
    );
  };
  assert.deepEqual(inputs(5), inputs(5));
  assert.notDeepEqual(inputs(5), inputs(6));
  for (const input of inputs(7)) assert.ok(input.length > 0 && input.length <= 2 * 16 * 8);
});

test('choices go on with zeros behind the end of the input, and never read another step', () => {
  const choices = new Choices().reset(Uint8Array.of(1, 2, 3, 4, 5), 1, 3);
  assert.equal(choices.u8(), 2);
  assert.equal(choices.u16(), 0x0300);
  assert.ok(choices.done);
  assert.equal(choices.pick(['usual', 'other']), 'usual');
  assert.equal(choices.oneIn(1), true);
  assert.equal(choices.oneIn(2), false);
});

test('options that make no sense are refused', () => {
  const names = ['a', 'b'];
  assert.deepEqual(parseOptions([], names).targets, names);
  assert.deepEqual(parseOptions(['--target', 'b'], names).targets, ['b']);
  for (const args of [
    ['--target', 'c'],
    ['--count', '0'],
    ['--count', '1.5'],
    ['--seed', 'x'],
    ['--nonsense'],
  ])
    assert.throws(() => parseOptions(args, names), Error, args.join(' '));
});
