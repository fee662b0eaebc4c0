/** What becomes of a process that does not look at a promise of a connection. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('../../testkit/forgetful-server.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'queuepair-test-'));
after(() => rmSync(directory, { recursive: true, force: true }));

interface End {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function run(what: 'vanish' | 'lose' | 'give-up' | 'mistake'): Promise<End> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SERVER, directory, what], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

test('sends that nobody awaits and a client that vanishes do not end the process of a server', async () => {
  const { code, stdout, stderr } = await run('vanish');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /still serving/);
});

test('writes of unknown outcome and grants amid a recovery that nobody awaits do not end the process', async () => {
  const { code, stdout, stderr } = await run('lose');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /reconnecting: ERR_RDMA_COMPLETION\nunknown: 1\nstill serving/);
});

test('a call that a program gives up itself and does not look at ends the process', async () => {
  const { code, stderr } = await run('give-up');
  assert.equal(code, 1);
  assert.match(stderr, /receive did not end within 1 ms/);
});

test('a wrong argument that nobody looks at ends the process with its sentence', async () => {
  const { code, stderr } = await run('mistake');
  assert.equal(code, 1);
  assert.match(stderr, /data must be a text, a typed array/);
});
