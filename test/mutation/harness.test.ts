/** The mutation harness, on a package of one file: what counts as noticed, and what it refuses to judge. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Fault } from '../../tools/mutation/fault.js';
import { CannotJudge, type Outcome, tryFaults } from '../../tools/mutation/harness.js';
import { packageRoot } from '../tooling/temporary-project.js';

const SOURCE = `export const last = (items: readonly number[]): number => items[items.length - 1] as number;
export const isDone = (count: number): boolean => count >= 3;
`;

const BUILT = `export const last = (items) => items[items.length - 1];
export const isDone = (count) => count >= 3;
`;

const TESTS = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDone, last } from '../src/toy.js';
test('the last one', () => assert.equal(last([1, 2]), 2));
test('it ends', async () => {
  if (!isDone(3)) await new Promise((resolve) => setTimeout(resolve, 60_000));
});
`;

/** Where the fault makes it hang, this one gives up by itself. */
const IMPATIENT_TESTS = TESTS.replace(
  "test('it ends', async",
  "test('it ends', { timeout: 200 }, async",
).replace('60_000', '1_000');

const LIMIT_MILLIS = 4_000;

function createToy(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'queuepair-toy-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('package.json', '{ "type": "module" }');
  write('src/toy.ts', SOURCE);
  write('build/src/toy.js', BUILT);
  write('build/test/toy.test.js', TESTS);
  write('build/test/impatient.test.js', IMPATIENT_TESTS);
  write('build/test/wrong.test.js', TESTS.replace('last([1, 2]), 2', 'last([1, 2]), 3'));
  const judges = fileURLToPath(new URL('../../tools/mutation/judges', import.meta.url));
  cpSync(judges, join(root, 'build/tools/mutation/judges'), { recursive: true });
  symlinkSync(join(packageRoot(), 'node_modules'), join(root, 'node_modules'));
  return root;
}

const FAULT: Fault = {
  id: 'toy',
  room: 'engine',
  wrong: 'The first one is taken for the last.',
  file: 'toy',
  find: 'items.length - 1',
  replace: '0',
  judges: ['test/toy'],
};

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
