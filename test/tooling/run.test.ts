/** scripts/run.mjs and scripts/test.mjs: arguments, exit codes and signals pass through unchanged. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { TemporaryProject } from './temporary-project.js';

const RUN = ['scripts/run.mjs', 'build/src/main.js'];

test('a program sees its arguments, and its exit code is the exit code', async (t) => {
  const project = new TemporaryProject(t);
  project.write(
    'src/main.ts',
    'console.log(JSON.stringify(process.argv.slice(2)));\nprocess.exitCode = 7;\n',
  );
  const outcome = await project.node([...RUN, 'demo', '--json', '--', '-x']);
  assert.deepEqual(
    { code: outcome.code, stdout: outcome.stdout },
    { code: 7, stdout: '["demo","--json","--","-x"]\n' },
  );
});

test('an uncaught error ends with code 1 and names the TypeScript line', async (t) => {
  const project = new TemporaryProject(t);
  project.write(
    'src/main.ts',
    'interface Erased {\n  a: 1;\n}\nthrow new Error("x" satisfies string as keyof Erased | "x");\n',
  );
  const outcome = await project.node(RUN);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /src\/main\.ts:4/);
});

test('a program can catch a signal, and dies of one that it does not catch', async (t) => {
  const project = new TemporaryProject(t);
  project.write(
    'src/main.ts',
    `if (process.argv.includes('catch')) process.on('SIGTERM', () => process.exit(42));
     setInterval(() => {}, 1_000);
     console.log('ready');`,
  );
  for (const [how, expected] of [
    ['catch', { code: 42, signal: null }],
    ['die', { code: null, signal: 'SIGTERM' }],
  ] as const) {
    const { child, outcome } = project.start([...RUN, how]);
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    const { code, signal } = await outcome;
    assert.deepEqual({ code, signal }, expected);
  }
});

const PASSING = `import { test } from 'node:test';\ntest('it passes', () => {});\n`;
const FAILING = `import { test } from 'node:test';\ntest('it fails', () => { throw new Error('no'); });\n`;

test('the test command prints a summary, picks files by pattern, and fails when a test does', async (t) => {
  const project = new TemporaryProject(t);
  project.write('test/good.test.ts', PASSING);
  project.write('test/bad.test.ts', FAILING);

  const all = await project.node(['scripts/test.mjs']);
  assert.equal(all.code, 1);
  assert.match(all.stdout, /✔ it passes[\s\S]*ℹ tests 2\n[\s\S]*ℹ pass 1\n[\s\S]*ℹ fail 1\n/);

  const some = await project.node(['scripts/test.mjs', 'good']);
  assert.equal(some.code, 0);
  assert.match(some.stdout, /ℹ tests 1\n[\s\S]*ℹ pass 1\n[\s\S]*ℹ fail 0\n/);

  const none = await project.node(['scripts/test.mjs', 'neither']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no test file's path contains neither/);
});

test('flags of node reach its test runner', async (t) => {
  const project = new TemporaryProject(t);
  project.write('test/good.test.ts', PASSING);
  project.write('test/bad.test.ts', FAILING);
  const outcome = await project.node(['scripts/test.mjs', '--test-name-pattern=passes']);
  assert.equal(outcome.code, 0);
  assert.match(outcome.stdout, /✔ it passes/);
});

test('a test file that leaves something open is ended, and told what', async (t) => {
  const project = new TemporaryProject(t);
  project.write('test/open.test.ts', `${PASSING}setInterval(() => {}, 1_000);\n`);
  const outcome = await project.node(['scripts/test.mjs'], { QUEUEPAIR_TEST_FILE_LIMIT_MILLIS: '1000' });
  assert.equal(outcome.code, 1);
  assert.match(outcome.stdout, /open\.test\.js still runs after 1 s; kept alive by: .*Timeout/);
});

test('interrupting the test command ends the test files too', async (t) => {
  const project = new TemporaryProject(t);
  project.write(
    'test/long.test.ts',
    `import { connect } from 'node:net';\nconnect(Number(process.env['PORT']), '127.0.0.1');\n`,
  );
  // The test file holds a connection to this server for as long as it lives.
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const { child, outcome } = project.start(['scripts/test.mjs'], { PORT: String(port) });
  const [socket] = (await once(server, 'connection')) as [Socket];
  const closed = once(socket.resume(), 'close');
  socket.on('error', () => {});
  child.kill('SIGINT');
  assert.equal((await outcome).signal, 'SIGINT');
  await closed;
});
