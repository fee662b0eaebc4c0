/** Benchmarks start processes: they must give a result or a reason, and nothing may be left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from '../../tools/bench/child-group.js';
import { runPair } from '../../tools/bench/pair.js';
import type { Load, Role } from '../../tools/bench/peer-protocol.js';
import { freePort, isListening, runToolPair } from '../../tools/bench/tool-pair.js';
import { prepareUdpFloor, udpFloorCommand } from '../../tools/bench/udp-floor.js';

const MAIN = fileURLToPath(new URL('../../tools/bench/main.js', import.meta.url));
const DEADLINE_MILLIS = 20_000;
const load: Load = { bytes: 64, count: 200, warmup: 20, depth: 1, batch: 10 };

const peer = (name: string, config: object): Command => ({
  file: process.execPath,
  args: [
    fileURLToPath(new URL(`../../tools/bench/peers/${name}.js`, import.meta.url)),
    JSON.stringify({ host: '127.0.0.1', deadlineMillis: DEADLINE_MILLIS, ...config }),
  ],
});

const script = (text: string): Command => ({ file: process.execPath, args: ['-e', text] });
/** A peer that does as it should until it would have a result. */
const OBEDIENT = `
  process.stdin.once('data', () => console.log('{"ready":true}'));
  console.log('{"hello":{}}');`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);

async function allGone(pids: readonly number[]): Promise<boolean> {
  for (let i = 0; i < 200 && pids.some(isAlive); i++) await sleep(10);
  return !pids.some(isAlive);
}

test('a pair of socket peers measures round trips, in TCP as in UDP', async () => {
  for (const name of ['socket-peer', 'dgram-peer']) {
    const command = (role: Role) => peer(name, { role, workload: 'ping', ...load });
    const { value, p99 } = await runPair(command('server'), command('client'), DEADLINE_MILLIS);
    assert.ok(value > 1 && value < 1e6, `${name}: ${value} µs`);
    assert.ok((p99 ?? 0) >= value, `${name}: p99 ${p99} µs`);
  }
});

test('every workload over verbs ends with a result and clean exits', async () => {
  for (const workload of ['ping', 'write', 'read', 'send', 'cost']) {
    const settings = { device: 'soft:127.0.0.1?port=0', progress: 'events', mtu: 4096, icrc: true };
    const work = { workload, ...load, bytes: 10_000, depth: 4, postBatch: workload === 'send' ? 2 : 1 };
    const command = (role: Role) => peer('verbs-peer', { role, ...settings, ...work });
    const { value } = await runPair(command('server'), command('client'), DEADLINE_MILLIS);
    assert.ok(value > 0 && Number.isFinite(value), `${workload}: ${value}`);
  }
});

test('the floor in C measures a ping and a flow, or says why it cannot', async (t) => {
  const floor = prepareUdpFloor();
  if ('missing' in floor) return t.skip(floor.missing);
  for (const workload of ['ping', 'flow'] as const) {
    const work = { ...load, bytes: workload === 'ping' ? 64 : 200_000 };
    const command = (role: Role) =>
      udpFloorCommand(floor.program, role, workload, '127.0.0.1', work, DEADLINE_MILLIS);
    const { value } = await runPair(command('server'), command('client'), DEADLINE_MILLIS);
    assert.ok(value > 0 && Number.isFinite(value), `${workload}: ${value}`);
  }
});

test('a peer that fails is named with its reason, and the other one is ended', async () => {
  const broken = script(
    `${OBEDIENT} process.stdin.on('data', () => { console.error('out of luck'); process.exit(7); })`,
  );
  const start = performance.now();
  await assert.rejects(
    runPair(broken, script(OBEDIENT), DEADLINE_MILLIS),
    /server ended with code 7: out of luck/,
  );
  assert.ok(performance.now() - start < DEADLINE_MILLIS / 2);
});

test('a pair without a result is ended at its deadline', async () => {
  await assert.rejects(runPair(script(OBEDIENT), script(OBEDIENT), 100), /no result in 100 ms/);
});

test('a program that cannot be started is a reason, not a crash', async () => {
  const missing = { file: '/nowhere/peer', args: [] };
  await assert.rejects(runPair(missing, script(OBEDIENT), DEADLINE_MILLIS), /server.*ENOENT/);
});

test('a peer that spins leaves at its own deadline even when nobody is there to end it', async () => {
  const command = peer('verbs-peer', {
    role: 'client',
    ...load,
    workload: 'ping',
    device: 'soft:127.0.0.1?port=0',
    progress: 'poll',
    postBatch: 1,
    mtu: 4096,
    icrc: true,
    deadlineMillis: 1500,
  });
  // The hello of a peer that does not exist, then the word to go.
  const child = spawn(command.file, command.args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const line = JSON.parse(text.split('\n')[0] ?? '{}') as { hello?: object };
    if (line.hello !== undefined)
      child.stdin.write(`${JSON.stringify({ hello: { ...line.hello, udpPort: 9 } })}\n`);
    else child.stdin.write('{"go":true}\n');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  // Its deadline, or the retransmissions that nobody answered, where the device has run meanwhile.
  assert.ok(code === 3 || code === 1, `exit code ${code}`);
});

test('a listening port is seen without connecting to it', {
  skip: process.platform !== 'linux',
}, async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  assert.equal(isListening(port), true);
  server.close();
  await once(server, 'close');
  assert.equal(isListening(port), false);
});

test('a tool pair returns what the client printed and ends the server', {
  skip: process.platform !== 'linux',
}, async () => {
  const port = await freePort('127.0.0.1');
  const server = script(
    `require('net').createServer((s) => s.end(String(process.pid))).listen(${port}, '127.0.0.1')`,
  );
  const client = script(`require('net').connect(${port}, '127.0.0.1').pipe(process.stdout)`);
  const pid = Number(await runToolPair(server, client, port, DEADLINE_MILLIS));
  assert.ok(pid > 0);
  assert.ok(await allGone([pid]), `process ${pid} is still there`);
});

test('the program writes its environment first and then a value for every subject that ran', async () => {
  const args = [MAIN, '--json', '--quick', '--rounds', '1', '--only', 'server-cost'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let progress = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (progress += text));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, progress);
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines[0]?.['event'], 'environment');
  const total = lines.find(({ subject }) => subject === 'queuepair');
  assert.deepEqual([total?.['name'], total?.['unit'], total?.['rounds']], ['server-cost', 'µs', 1]);
  assert.ok(Number(total?.['value']) > 0);
  assert.ok(lines.some(({ subject }) => subject === 'queuepair/post-send'));
  const whole = lines.find(({ subject }) => subject === 'queuepair/whole');
  assert.ok(Number(whole?.['value']) > 0, 'all processor time of the process stands beside the steps');
  assert.match(progress, /server-cost: round 1 of 1, queuepair/);
});

test('an unknown benchmark is wrong usage, and the message lists the known ones', async () => {
  const child = spawn(process.execPath, [MAIN, '--only', 'teleport'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 2);
  assert.match(errors, /no benchmark 'teleport'.*send-rtt, send-rtt-4k, tail, write-bw/);
});

test('Ctrl-C takes all peers along', { skip: process.platform !== 'linux' }, async () => {
  const child = spawn(process.execPath, [MAIN, '--rounds', '1000', '--only', 'connect'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const pid = child.pid as number;
  await once(child.stderr, 'data');
  let peers = childrenOf(pid);
  while (peers.length < 2) {
    await sleep(5);
    peers = childrenOf(pid);
  }
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 130);
  assert.ok(await allGone(peers), `processes ${peers.filter(isAlive)} are still there`);
});
