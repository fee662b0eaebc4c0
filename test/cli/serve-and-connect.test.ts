/** A server and clients as their users run them: processes of their own, real TLS, real UDP. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientFlags, FREE_DEVICE, runProgram, serve, stop, testDir } from '../../testkit/program.js';

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

const UP = ['tls', 'psn-exchanged', 'objects-created', 'parameters-exchanged', 'init', 'rtr', 'rts'];
const READY = ['receives-posted', 'ready'];
/** Who quits does not hear of it from the other side. */
const DOWN = ['memory-deregistered', 'qp-destroyed', 'cqs-destroyed', 'pd-deallocated', 'tls-closed'];

test('a client sends, writes, reads and quits; both processes tell each step in order, and no PSN', async () => {
  const server = await serve();
  const client = await runProgram([
    ...clientFlags(server),
    '--json',
    '--exec',
    'send hi; write abc 10; read 10; stats; auto 9; quit',
  ]);
  assert.equal(client.code, 0, client.stderr);
  const { events, stdout } = await stop(server);

  const clientSteps = client.events.filter(({ event }) => event === 'step').map(({ step }) => step);
  assert.deepEqual(clientSteps, [...UP, ...READY, ...DOWN]);
  const serverSteps = events.filter(({ event }) => event === 'step').map(({ step }) => step);
  assert.deepEqual(serverSteps, [...UP, ...READY, 'quit', ...DOWN, 'slot-freed']);
  assert.doesNotMatch(client.stdout + stdout, /psn"/i, 'a PSN was told');

  const ofClient = (name: string) => client.events.find(({ event }) => event === name);
  assert.equal(ofClient('welcome')?.['text'], 'welcome, client 1');
  assert.deepEqual([ofClient('echo')?.['text'], ofClient('echo')?.['equal']], ['hi', true]);
  assert.equal(ofClient('write')?.['sha256'], sha256('abc'));
  assert.equal(ofClient('read')?.['base64'], Buffer.from('abc').toString('base64'));
  assert.deepEqual([ofClient('auto')?.['operations'], ofClient('auto')?.['verified']], [9, true]);
  assert.equal(ofClient('stats')?.['messagesSent'], 2);

  const written = events.find(({ event }) => event === 'write');
  assert.deepEqual([written?.['offset'], written?.['length'], written?.['sha256']], [10, 3, sha256('abc')]);
  const connected = events.find(({ event }) => event === 'connected');
  assert.match(String(connected?.['peer']), /CN=/);
  assert.equal(events.find(({ event }) => event === 'disconnected')?.['error'], null);
});

test('with --show-psn what one side sends from is what the other expects', async () => {
  const server = await serve('--show-psn');
  const client = await runProgram([...clientFlags(server), '--json', '--show-psn', '--exec', 'quit']);
  const { events } = await stop(server);
  const details = (list: typeof events, name: string) =>
    list.find(({ event, step }) => event === 'step' && step === name)?.['details'] as Record<string, number>;
  const [clientRtr, serverRtr] = [details(client.events, 'rtr'), details(events, 'rtr')];
  assert.equal(clientRtr['rqPsn'], details(events, 'rts')['sqPsn']);
  assert.equal(serverRtr['rqPsn'], details(client.events, 'rts')['sqPsn']);
  for (const psn of [clientRtr['rqPsn'], serverRtr['rqPsn']]) {
    assert(Number.isInteger(psn) && Number(psn) >= 0 && Number(psn) < 2 ** 24, String(psn));
  }
});

test('commands come through a pipe, and a file goes there and back unchanged', async () => {
  const server = await serve('--buffer', '2MiB');
  const [path, copy] = [join(testDir(), 'original.bin'), join(testDir(), 'copy.bin')];
  const data = randomBytes(1_500_000);
  writeFileSync(path, data);
  const input = `write @${path} 4k\nread 4k 1500000 > ${copy}; send "a; b"\nquit\n`;
  const client = await runProgram([...clientFlags(server)], { input });
  assert.equal(client.code, 0, client.stderr);
  assert.match(client.stdout, /echo: a; b {2}\(/);
  assert.equal(sha256(readFileSync(copy)), sha256(data));
  await stop(server);
});

test('the first command that fails ends a script with exit code 1 and one line that says why', async () => {
  const server = await serve();
  for (const [command, reason] of [
    ['write @/no/such/file', /^queuepair: the file \/no\/such\/file does not exist\n$/],
    ['read 1MiB 1', /^queuepair: bytes 1048576 to 1048577 are not inside the remote buffer of 1048576\n$/],
  ] as const) {
    const client = await runProgram([...clientFlags(server), '--exec', `${command}; send never`]);
    assert.equal(client.code, 1, command);
    assert.match(client.stderr, reason);
    assert.doesNotMatch(client.stdout, /never/);
  }
  await stop(server);
});

test('a command of --exec that cannot be read is found before there is a connection', async () => {
  for (const [command, reason] of [
    ['bogus', /^queuepair: --exec: there is no command 'bogus'; there are send, write, read, auto, stats, /],
    ['sned hi', /^queuepair: --exec: there is no command 'sned'; did you mean send\? \(see: /],
    ['write', /^queuepair: --exec: usage: write TEXT \[OFFSET\] or write @FILE \[OFFSET\] \(see: /],
    ['auto 0', /^queuepair: --exec: usage: auto N, with N from 1 to 1000000 \(see: /],
  ] as const) {
    const client = await runProgram(['connect', '127.0.0.1:1', '--exec', `send hi; ${command}`]);
    assert.equal(client.code, 2, command);
    assert.match(client.stderr, reason);
  }
});

test('a server and a client with certificates of their own, each verifying the other', async () => {
  const dev = await serve();
  const dir = join(testDir(), 'certs');
  const pem = (name: string) => join(dir, `${name}.pem`);
  await stop(dev);
  const own = ['--cert', pem('server'), '--key', pem('server-key'), '--client-ca', pem('ca')];
  const server = await serve(...own);
  const flags = [
    'connect',
    `localhost:${server.port}`,
    ...FREE_DEVICE,
    '--ca',
    pem('ca'),
    '--exec',
    'send hi',
  ];
  const known = await runProgram([...flags, '--cert', pem('client'), '--key', pem('client-key')]);
  assert.equal(known.code, 0, known.stderr);
  const nobody = await runProgram(flags);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /^queuepair: .*certificate.*\n$/);
  const { events } = await stop(server);
  assert.equal(events.filter(({ event }) => event === 'connected').length, 1);
  assert.match(
    String(events.find(({ event }) => event === 'refused')?.['reason']),
    /certificate of the client is missing/,
  );
});
