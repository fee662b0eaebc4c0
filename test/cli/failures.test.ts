/** What the program says when something fails: to people in a sentence, to programs in an event, to shells in a number. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { DeafPort } from '../../testkit/deaf-port.js';
import {
  clientFlags,
  devCerts,
  FREE_DEVICE,
  Program,
  runProgram,
  serve,
  stop,
  testDir,
} from '../../testkit/program.js';

test('a TCP port that a firewall drops is told from a server that is slow in TLS', async () => {
  await using deaf = await DeafPort.open();
  const { code, stderr } = await runProgram([
    'connect',
    `127.0.0.1:${deaf.port}`,
    '--timeout',
    '300',
    ...devCerts(),
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /did not answer within 300 ms, not even to refuse: a firewall drops TCP to that port/);
  const slow = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => slow.once('listening', resolve));
  const { port } = slow.address() as { port: number };
  const inTls = await runProgram(['connect', `127.0.0.1:${port}`, '--timeout', '300', ...devCerts()]);
  slow.close();
  assert.match(inTls.stderr, /did not finish TLS within 300 ms/);
});

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} while connecting is exit code ${exitCode} and no failure`, async () => {
    let onCame = (): void => {};
    const came = new Promise<void>((resolve) => {
      onCame = resolve;
    });
    const slow = createServer(() => onCame()).listen(0, '127.0.0.1');
    await new Promise((resolve) => slow.once('listening', resolve));
    const { port } = slow.address() as { port: number };
    const program = new Program(['connect', `127.0.0.1:${port}`, ...devCerts()]);
    await came;
    program.kill(signal);
    const { code, stderr } = await program.ended;
    slow.close();
    assert.equal(code, exitCode);
    assert.equal(stderr, '');
  });
}

test('with --json every failure is an event with a code as well, and nothing but JSON is on standard output', async () => {
  const cases: readonly [string[], string, number][] = [
    [['connect', '127.0.0.1:1', ...devCerts()], 'ERR_RDMA_CONNECTION_LOST', 1],
    [['bench', '127.0.0.1:1', ...devCerts()], 'ERR_RDMA_CONNECTION_LOST', 1],
    [['devices', 'soft:203.0.113.9'], 'ERR_RDMA_ADDRESS', 1],
    [['serve', '--host', '203.0.113.9', ...devCerts()], 'ERR_RDMA_ADDRESS', 1],
    [['certs', '--dev-certs', '/proc/certs'], 'ERR_RDMA_CERTIFICATE', 1],
    [['connect', '--bogus'], 'ERR_USAGE', 2],
  ];
  for (const [args, wanted, exitCode] of cases) {
    const { code, events, stdout, stderr } = await runProgram([...args, '--json']);
    assert.equal(code, exitCode, stderr);
    const errors = events.filter(({ event }) => event === 'error');
    assert.deepEqual(
      errors.map((error) => error['code']),
      [wanted],
      stdout,
    );
    assert.equal(events.length, stdout.trim().split('\n').length, stdout);
    assert.equal(typeof errors[0]?.['message'], 'string');
  }
});

test('an address with a port needs brackets where it could be another address; messages write them', async () => {
  const { code, stderr } = await runProgram(['connect', '::1:4433']);
  assert.equal(code, 2);
  assert.match(stderr, /write \[::1\]:4433 for that port, or \[::1:4433\] for that address/);
  const refused = await runProgram(['connect', '[::1]:1', ...devCerts()]);
  assert.match(refused.stderr, /the server \[::1\]:1 /);
});

test('a server that cannot listen has made no certificate for the address', async () => {
  await runProgram(['certs', '--dev-certs', join(testDir(), 'certs')]);
  const names = async (): Promise<unknown> =>
    (await runProgram(['certs', '--json', '--dev-certs', join(testDir(), 'certs')])).events.map(
      ({ sans }) => sans,
    );
  const before = await names();
  const { code, stderr } = await runProgram(['serve', '--host', '203.0.113.9', '--port', '0', ...devCerts()]);
  assert.equal(code, 1);
  assert.match(stderr, /cannot listen on 203\.0\.113\.9:0/);
  assert.deepEqual(await names(), before);
});

test('a home directory that is empty puts no private authority into the working directory', async () => {
  const dir = join(testDir(), 'homeless');
  mkdirSync(dir);
  for (const HOME of ['', 'here']) {
    const { code, stderr } = await runProgram(['connect', '127.0.0.1'], {
      cwd: dir,
      env: { HOME, XDG_CONFIG_HOME: '' },
    });
    assert.equal(code, 1);
    assert.match(stderr, /no absolute path; name a directory \(--dev-certs DIR /);
  }
  assert.deepEqual(readdirSync(dir), []);
});

test('certificates that cannot be written name the flag for another place, and never hang', async () => {
  const file = join(testDir(), 'a-file');
  writeFileSync(file, '');
  const cases = [
    ['certs', '--dev-certs', '/proc/new/certs'],
    ['connect', '127.0.0.1', '--dev-certs', '/proc/new/certs'],
    ['serve', '--port', '0', '--dev-certs', '/proc/new/certs'],
    ['certs', '--dev-certs', join(file, 'certs')],
  ];
  for (const args of cases) {
    const { code, stderr } = await runProgram(args);
    assert.equal(code, 1);
    assert(stderr.includes('--dev-certs DIR'), stderr);
  }
});

test('QUEUEPAIR_ADDON that names no file is told, and not taken for an addon that was never built', async () => {
  const { stdout } = await runProgram(['devices'], { env: { QUEUEPAIR_ADDON: '/no/such/addon.node' } });
  assert.match(stdout, /QUEUEPAIR_ADDON names \/no\/such\/addon\.node, which does not exist/);
  assert.doesNotMatch(stdout, /not built/);
});

test('an address that the certificate does not hold is told beside those that it holds, each in its usual form', async () => {
  const server = await serve('--host', '127.0.0.2');
  const { stderr } = await runProgram([
    'connect',
    `127.0.0.2:${server.port}`,
    '--servername',
    '127.0.0.9',
    ...devCerts(),
  ]);
  assert.match(stderr, /127\.0\.0\.9 is none of .*IP:127\.0\.0\.1, IP:::1/);
  await stop(server);
});

test('what a command of the client says about its own use begins with what is wrong, not with a function', async () => {
  const server = await serve();
  for (const [command, wanted] of [
    ['write x 9999999', 1],
    ['read 9999999 1', 1],
    ['write', 2],
    ['auto 0', 2],
  ] as const) {
    const { code, stderr } = await runProgram([...clientFlags(server), '--exec', command]);
    assert.equal(code, wanted, stderr);
    assert.doesNotMatch(stderr, /^queuepair: (write|read|send|receive|connect): /);
  }
  await stop(server);
});

test('a client of another program than its server is told which one that is', async () => {
  const bench = new Program(['bench', '--json', '--port', '0', ...FREE_DEVICE, ...devCerts()]);
  const { port } = await bench.event('listening');
  const { code, stderr } = await runProgram(['connect', `127.0.0.1:${port}`, ...FREE_DEVICE, ...devCerts()]);
  assert.equal(code, 1);
  assert.match(stderr, /this end is `queuepair bench`, and yours is not/);
  bench.kill('SIGTERM');
  await bench.ended;
});
