/** A package of one file with its tests, for the mutation harness. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Fault } from '../../tools/mutation/fault.js';
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

/** Writes its process number to the file that the environment names, and never ends. */
const ENDLESS_TESTS = `import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
test('it waits', () => {
  writeFileSync(process.env.ENDLESS_PID, String(process.pid));
  return new Promise((resolve) => setTimeout(resolve, 600_000));
});
`;

export function createToy(t: TestContext): string {
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
  write('build/test/endless.test.js', ENDLESS_TESTS);
  write('build/test/wrong.test.js', TESTS.replace('last([1, 2]), 2', 'last([1, 2]), 3'));
  const judges = fileURLToPath(new URL('../../tools/mutation/judges', import.meta.url));
  cpSync(judges, join(root, 'build/tools/mutation/judges'), { recursive: true });
  symlinkSync(join(packageRoot(), 'node_modules'), join(root, 'node_modules'));
  return root;
}

export const FAULT: Fault = {
  id: 'toy',
  room: 'engine',
  wrong: 'The first one is taken for the last.',
  file: 'toy',
  find: 'items.length - 1',
  replace: '0',
  judges: ['test/toy'],
};
