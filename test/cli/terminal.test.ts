/** What only a terminal shows: bars of progress, and Ctrl-C while something runs. The terminal is that of script(1). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProgressLine, timeText } from '../../src/cli/progress-line.js';
import { clientFlags, Program, type RunningServer, serve, stop } from '../../testkit/program.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const noTerminal = spawnSync('script', ['--version']).error !== undefined && 'script is not installed';

function onTerminal(server: RunningServer) {
  const command = [process.execPath, MAIN, ...clientFlags(server)].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let seen = '';
  const wake = new Set<() => void>();
  child.stdout.on('data', (text) => {
    seen += String(text);
    for (const one of wake) one();
  });
  const sees = async (wanted: RegExp): Promise<void> => {
    while (!wanted.test(seen)) await new Promise<void>((resolve) => wake.add(resolve));
  };
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { sees, type: (text: string) => child.stdin.write(text), ended };
}

test('Ctrl-C ends a running auto at once, with 130, after a bar of progress', {
  skip: noTerminal,
}, async () => {
  const server = await serve();
  const terminal = onTerminal(server);
  await terminal.sees(/queuepair> /);
  terminal.type('auto 1000000\r');
  await terminal.sees(/auto {2}░/);
  terminal.type('\x03');
  assert.equal(await terminal.ended, 130);
  await stop(server);
});

test('Ctrl-C at the prompt ends the client in order', { skip: noTerminal }, async () => {
  const server = await serve();
  const terminal = onTerminal(server);
  await terminal.sees(/queuepair> /);
  terminal.type('\x03');
  assert.equal(await terminal.ended, 0);
  await stop(server);
});

test('a signal that cuts off a command from a pipe is told by the exit code', async () => {
  const server = await serve();
  const program = new Program([...clientFlags(server), '--json'], { openInput: true });
  await program.event('welcome');
  program.write('auto 1000000\n');
  await server.program.event('write');
  program.kill('SIGINT');
  assert.equal((await program.ended).code, 130);
  await stop(server);
});

test('a bar of progress has share, rate and time left, and fits the terminal', () => {
  const written: string[] = [];
  const stream = { isTTY: true, columns: 60, write: (text: string) => written.push(text) };
  const progress = new ProgressLine('copied', 1000, {
    isBytes: true,
    stream: stream as unknown as NodeJS.WriteStream,
  });
  progress.update(500);
  assert.match(written.at(-1) ?? '', /^\rcopied {2}█{15}░{15} {2}50 %/);
  assert((written.at(-1) ?? '').length <= 60);
  progress.end();
  assert.match(written.at(-1) ?? '', /^\r +\r$/);
  assert.deepEqual([900, 61_000, 3_723_000].map(timeText), ['1 s', '1:01', '1:02:03']);
});
