/** Nobody reads standard output any more: what holds something ends in order, and says so by its exit code. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { devCerts, FREE_DEVICE, Program, testDir } from '../../testkit/program.js';

const MAIN = join(import.meta.dirname, '../../src/cli/main.js');
const SIGPIPE_CODE = 141;

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return { child, stderr: () => stderr };
}

const exitCode = async (child: ChildProcess): Promise<unknown> => (await once(child, 'close'))[0];

test('serve ends in order, tells its clients, and its exit code is that of a lost pipe', async () => {
  const { child, stderr } = start(['serve', '--json', '--port', '0', ...FREE_DEVICE, ...devCerts()]);
  const ended = exitCode(child);
  let port: number | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as { event: string; port?: number };
    if (event.event === 'listening') {
      port = event.port;
      break;
    }
  }
  const client = new Program(['connect', `127.0.0.1:${port}`, '--json', ...devCerts()], { openInput: true });
  await client.event('welcome');
  // The next line that the server writes finds no reader.
  child.stdout.destroy();
  client.write('send hi\n');
  assert.equal(await ended, SIGPIPE_CODE);
  assert.equal(stderr(), 'queuepair: standard output was closed; the server ends\n');
  const { code, stderr: told } = await client.ended;
  assert.doesNotMatch(told, /hung up|did not come back/, 'the client was told');
  assert.notEqual(code, null);
});

test('demo ends without a stack and leaves neither keys nor files', async () => {
  const temporary = join(testDir(), 'temporary');
  mkdirSync(temporary, { recursive: true });
  const { child, stderr } = start(['demo', '--clients', '2', '--json'], { TMPDIR: temporary });
  const ended = exitCode(child);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  assert.equal(await ended, SIGPIPE_CODE, stderr());
  assert.equal(stderr(), '');
  assert.deepEqual(readdirSync(temporary), []);
});

test('what holds nothing ends well: the reader has seen enough', async () => {
  const { child, stderr } = start(['--help']);
  child.stdout.destroy();
  assert.equal(await exitCode(child), 0);
  assert.equal(stderr(), '');
});
