/** Checks of invariants: each can be taken out, none is in the package, and a violation is seen where checks run. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { firstFailure } from '../sim/mutants.js';
import { packageRoot } from './temporary-project.js';

const root = packageRoot();

const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(root, folder, name));

test('every check has the label that packing looks for', () => {
  const unlabelled = filesIn('src', '.ts')
    .filter((path) => !path.endsWith(join('verbs', 'invariant.ts')))
    .flatMap((path) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => /(?<!INVARIANT: )\binvariant\(/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
  assert.deepEqual(unlabelled, []);
  const checks = filesIn('src', '.ts').filter((path) => /INVARIANT: /.test(readFileSync(path, 'utf8')));
  assert.ok(checks.length > 8, `checks in ${checks.length} files`);
});

test('the package has no check, and its engine works without', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-stripped-'));
  try {
    const { bundle } = (await import(pathToFileURL(join(root, 'scripts', 'package', 'bundle.mjs')).href)) as {
      bundle: (folder: string, entries: readonly string[]) => Promise<string[]>;
    };
    await bundle(folder, ['index.ts', 'roce.ts']);
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const { Nic } = (await import(pathToFileURL(join(folder, 'roce.js')).href)) as { Nic: unknown };
    assert.equal(typeof Nic, 'function');
    const left = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .filter((name) => /\binvariant\(|INVARIANT/.test(readFileSync(join(folder, name), 'utf8')));
    assert.deepEqual(left, []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the simulator sees a violated invariant', async () => {
  const fault = {
    name: 'more READs are sent than the peer remembers',
    file: 'qp/read-requests',
    find: 'return this.#count >= this.#limit;',
    replace: 'return false;',
  };
  const { seed, failure } = await firstFailure(fault, 20);
  assert.notEqual(seed, -1);
  assert.match(failure, /InvariantViolation: invariant violated: no more READs and atomics are unanswered/);
});
