/**
 * Signals end servers and clients in order and soon, and everybody learns of it. Programs watch over their time by themselves: one that
 * takes longer than it may says so, and its exit code is another one.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  clientFlags,
  devCerts,
  FREE_DEVICE,
  Program,
  type RunningServer,
  runProgram,
  serve,
  stop,
} from '../../testkit/program.js';

async function endedBy(program: Program, signal: NodeJS.Signals): Promise<number | null> {
  program.kill(signal);
  const { code, stderr } = await program.ended;
  assert.doesNotMatch(stderr, /not everything closed/);
  return code;
}

async function client(server: RunningServer, ...flags: string[]): Promise<Program> {
  const program = new Program([...clientFlags(server), '--json', ...flags], { openInput: true });
  await program.event('welcome');
  return program;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends a server with clients at work and at rest in time, with nothing left over`, async () => {
    const server = await serve();
    const idle = await client(server);
    const busy = await client(server, '--exec', 'auto 1000000');
    await server.program.event('write');
    assert.equal(await endedBy(server.program, signal), 0);
    const census = server.program.events.at(-1);
    assert.deepEqual([census?.event, census?.['leaked']], ['census', 0]);
    assert.equal((await idle.ended).code, 0, 'the server ended in order: no failure of the client');
    assert.equal((await busy.ended).code, 1, 'its commands were cut off');
  });

  test(`${signal} ends a client in order; a script that it cuts off fails`, async () => {
    const server = await serve();
    const idle = await client(server);
    assert.equal(await endedBy(idle, signal), 0);
    const busy = await client(server, '--exec', 'auto 1000000');
    assert.equal(await endedBy(busy, signal), signal === 'SIGINT' ? 130 : 143);
    const { events } = await stop(server);
    const ends = events.filter(({ event }) => event === 'disconnected').map(({ error }) => error);
    assert.deepEqual(ends, [null, null]);
  });
}

test('a server that npx has started ends when npx is ended, which tells its shell alone', async () => {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const flags = ['serve', '--json', '--port', '0', ...FREE_DEVICE, ...devCerts()];
  const shell = spawn('sh', ['-c', '"$0" "$@"; true', process.execPath, main, ...flags], {
    env: { ...process.env, npm_command: 'exec' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const text of shell.stdout) {
    output += String(text);
    if (output.includes('"listening"')) shell.kill('SIGTERM');
  }
  assert.equal(shell.signalCode, 'SIGTERM');
  assert.match(output, /"closing","signal":"SIGTERM"/);
  assert.match(output, /"census".*"leaked":0/);
});

test('a client whose server is gone does not wait for it when it is told to end', async () => {
  const server = await serve();
  const lonely = await client(server);
  server.program.kill('SIGKILL');
  await lonely.event('step', ({ step }) => step === 'recovering');
  assert.equal(await endedBy(lonely, 'SIGTERM'), 0);
});

test('a demo that is interrupted says so by its exit code and leaves no process', async () => {
  const demo = new Program(['demo', '--json']);
  await demo.event('welcome');
  assert.equal(await endedBy(demo, 'SIGINT'), 130);
  const pids = demo.events.filter(({ event }) => event === 'device').map(({ pid }) => Number(pid));
  assert(pids.length >= 2, 'a server and a client');
  for (const pid of pids) await isGone(pid);
});

/** The operating system may take a moment to bury a process; the test's own timeout bounds it. */
async function isGone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('the end of its input ends a client in order', async () => {
  const server = await serve();
  const { code } = await runProgram(clientFlags(server), { input: 'send hi\n' });
  assert.equal(code, 0);
  await stop(server);
});
