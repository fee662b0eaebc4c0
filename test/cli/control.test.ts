/** `serve --control`: who may drain a server and disconnect clients, and how the token comes and goes. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientFlags, devCerts, Program, runProgram, serve, stop, testDir } from '../../testkit/program.js';

const order = (url: unknown, token: string, action: string): Promise<Response> =>
  fetch(`${url}/control`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ action }),
  });

test('--control makes a token, tells it once, and keeps it out of the log', async () => {
  const server = await serve('--metrics', '0', '--control', '--log-level', 'debug');
  const { url, token } = await server.program.event('observing');
  assert.match(String(token), /^[\w-]{32}$/);
  assert.equal((await order(url, String(token), 'drain')).status, 200);
  const refused = await runProgram([...clientFlags(server), '--json', '--exec', 'send hi']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /takes no new clients for now/);
  assert.equal((await order(url, String(token), 'admit')).status, 200);
  const taken = await runProgram([...clientFlags(server), '--json', '--exec', 'send hi; quit']);
  assert.equal(taken.code, 0, taken.stderr);
  const { stderr } = await stop(server);
  assert.match(stderr, /"msg":"observing"/);
  assert.equal(stderr.includes(String(token)), false);
});

test('--control FILE takes the token of the file, and tells it nowhere', async () => {
  const file = join(testDir(), 'token');
  const token = 'a-token-that-an-operator-made';
  writeFileSync(file, `${token}\n`);
  const server = await serve('--metrics', '0', '--control', file);
  const observing = await server.program.event('observing');
  assert.equal(observing['token'], undefined);
  assert.equal((await order(observing['url'], 'a-token-of-somebody-else', 'drain')).status, 401);
  assert.equal((await order(observing['url'], token, 'drain')).status, 200);
  const { stdout, stderr } = await stop(server);
  assert.equal((stdout + stderr).includes(token), false);
});

test('--control says what it needs', async () => {
  const short = join(testDir(), 'short');
  writeFileSync(short, 'short');
  for (const [flags, sentence, wanted] of [
    [['--control'], /--control needs --metrics PORT/, 2],
    [
      ['--metrics', '0', '--control', join(testDir(), 'none')],
      /--control: the file .*none does not exist/,
      1,
    ],
    [['--metrics', '0', '--control', short], /controlToken must be a text of at least 16 characters/, 1],
  ] as const) {
    const { code, stderr } = await new Program([
      'serve',
      '--port',
      '0',
      '--device',
      'soft:127.0.0.1?port=0',
      ...devCerts(),
      ...flags,
    ]).ended;
    assert.equal(code, wanted, stderr);
    assert.match(stderr, sentence);
  }
});
