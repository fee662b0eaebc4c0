/** scripts/setup.mjs: what it installs and builds, when, and what it refuses to run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Outcome, TemporaryProject } from './temporary-project.js';

const SETUP = ['scripts/setup.mjs'];

function built(outcome: Outcome): boolean {
  return /^building…$/m.test(outcome.stderr);
}

test('it builds a new clone, then does nothing until a source changes', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');

  const first = await project.node(SETUP);
  assert.deepEqual({ code: first.code, stdout: first.stdout }, { code: 0, stdout: '' });
  assert.ok(built(first));

  const second = await project.node(SETUP);
  assert.deepEqual(second, { code: 0, signal: null, stdout: '', stderr: '' });

  project.write('src/a.ts', 'export const a: number = 1_000;\n');
  assert.ok(built(await project.node(SETUP)));
  assert.match(project.read('build/src/a.js'), /1_000|1000/);
});

test('output of a deleted source disappears, with its folder', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');
  project.write('src/gone/b.ts', 'export const b: number = 1;\n');
  await project.node(SETUP);
  assert.ok(project.has('build/src/gone/b.js'));

  project.remove('src/gone');
  await project.node(SETUP);
  assert.equal(project.has('build/src/gone'), false);
  assert.ok(project.has('build/src/a.js'));
});

test('deleted output is built again although no source changed', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');
  await project.node(SETUP);
  project.remove('build/src/a.js');
  assert.equal((await project.node(SETUP)).code, 0);
  assert.ok(project.has('build/src/a.js'));
});

test('a type error is shown on standard error, ends with code 1, and does so every time', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = "text";\n');
  for (const round of ['first', 'second']) {
    const outcome = await project.node(['scripts/run.mjs', 'build/src/a.js']);
    assert.deepEqual({ code: outcome.code, stdout: outcome.stdout }, { code: 1, stdout: '' }, round);
    assert.match(outcome.stderr, /src\/a\.ts\(1,14\): error TS2322/);
    assert.match(outcome.stderr, /the build failed/);
  }
});

test('four commands at once build once, and all of them run', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'console.log("ran");\nexport {};\n');
  const run = () => project.node(['scripts/run.mjs', 'build/src/a.js']);
  const outcomes = await Promise.all([run(), run(), run(), run()]);
  assert.deepEqual(
    outcomes.map(({ code, stdout }) => `${code} ${stdout}`),
    Array<string>(4).fill('0 ran\n'),
  );
  assert.equal(outcomes.filter(built).length, 1);
  assert.equal(project.has('build/.lock'), false);
});

test('the lock of a process that died is broken, a fresh one is waited for', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');
  project.write('build/.lock', 'somebody else');
  project.age('build/.lock', 60_000);
  const stale = await project.node(SETUP);
  assert.ok(built(stale));
  assert.equal(project.has('build/.lock'), false);

  project.write('src/a.ts', 'export const a: number = 22;\n');
  project.write('build/.lock', 'somebody else');
  // Nobody keeps this lock fresh, so the wait ends when it is ten seconds old.
  project.age('build/.lock', 7_000);
  const waited = await project.node(SETUP);
  assert.match(waited.stderr, /^waiting for another command[^\n]*\nbuilding…\n$/);
  assert.equal(waited.code, 0);
});

test('dependencies are installed when the lock file asks for others, and not otherwise', async (t) => {
  const project = new TemporaryProject(t);
  project.write('src/a.ts', 'export const a: number = 1;\n');
  await project.node(SETUP);
  assert.equal(project.has('npm-calls'), false);

  const lock = project.read('package-lock.json');
  project.write('package-lock.json', lock.replace('"integrity": "sha512-', '"integrity": "sha512-x'));
  const outcome = await project.node(SETUP);
  assert.deepEqual({ code: outcome.code, stdout: outcome.stdout }, { code: 0, stdout: '' });
  assert.match(outcome.stderr, /^installing dependencies…\n/);
  assert.match(project.read('npm-calls'), /^ci --include=dev .*\n$/);

  await project.node(SETUP);
  assert.equal(project.read('npm-calls').split('\n').length, 2, 'called once');
});

test('when the installation fails, what npm said is shown and nothing is built', async (t) => {
  const project = new TemporaryProject(t);
  project.write('npm-fails', '');
  project.remove('node_modules/.package-lock.json');
  const outcome = await project.node(SETUP);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /registry not reachable[\s\S]*installing the dependencies failed/);
  assert.equal(built(outcome), false);
});

test('an older Node.js is refused in one line', async (t) => {
  const project = new TemporaryProject(t);
  project.write('package.json', project.read('package.json').replace('>=20.19', '>=99.1'));
  const outcome = await project.node(SETUP);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /^Node\.js >=99\.1 is required, this is [\d.]+: [^\n]+\n$/);
});
