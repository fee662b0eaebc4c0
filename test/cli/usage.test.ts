/** What people get who type something that cannot be right, or that cannot work here. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { devCerts, FREE_DEVICE, runProgram, testDir } from '../../testkit/program.js';

/** Why depends on the machine: it may lack libibverbs. */
const NO_SUCH_DEVICE =
  /there is no device 'nosuch0': .*\. The device 'soft' is there everywhere, without hardware/;

const WRONG_USAGE: readonly [string[], RegExp][] = [
  [['bogus'], /unknown command 'bogus'/],
  [['serve', '--bogus'], /unknown option '--bogus'/],
  [['serve', '--port', '65536'], /A port is 0 to 65535/],
  [['serve', '--slots', '0'], /Write a number from 1 to 65536/],
  [['serve', '--buffer', 'lots'], /Write a number of bytes such as 65536, 64KiB or 4MiB/],
  [['serve', '--log-level', 'loud'], /Allowed choices are silent, fatal, error, warn, info, debug, trace/],
  [['connect'], /missing required argument 'target'/],
  [['connect', '127.0.0.1', '--srv', '_queuepair._tcp.a.test'], /a target or --srv, not both/],
  [['connect', 'a,,b'], /Write HOST or HOST:PORT/],
  [['connect', '127.0.0.1:0'], /Write HOST or HOST:PORT; an IPv6 address with a port goes in brackets/],
  [['connect', '127.0.0.1', '--timeout', 'soon'], /Write milliseconds, 1 or more/],
  [['bench', '--test', 'sleep'], /Measurements are send-rtt, write-lat/],
  [['bench', '--size', '5MiB'], /A message has 1 byte to 4 MiB/],
  [['pingpong', '-n', '10', '--warmup', '10'], /--warmup 10 leaves nothing of -n 10 to measure/],
  [['demo', '--clients', '11'], /Write a number from 1 to 10/],
];

test('wrong usage is exit code 2, with what is wrong and where to read on', async () => {
  for (const [args, reason] of WRONG_USAGE) {
    const { code, stdout, stderr } = await runProgram(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, reason);
    assert.match(stderr, /\(try: queuepair (\w+ )?--help\)\n$/);
  }
});

/** Each flag may be right, and all of them together may not. */
const WRONG_TOGETHER: readonly [string[], RegExp][] = [
  [['connect', '127.0.0.1', '--ca', 'x.pem', '--dev-certs', 'x'], /give one of them/],
  [['serve', '--share-writable'], /--share-writable has no effect without --share DIR/],
  [['serve', '--share', '.', '--cert', 'x.pem', '--key', 'x.pem'], /give --client-ca FILE/],
  [['serve', '--control'], /--control needs --metrics PORT/],
  [['cp', 'here', 'there'], /neither side is HOST:PATH/],
  [['cp', 'x:one', 'y:two', 'here'], /all sources are on one HOST/],
  [['cp', '--port', '1', 'file', 'x:2:'], /--port 1 and port 2 of the path are two ports/],
  [['cp', 'x:../up', 'here'], /it has a part "\.\."/],
  [['nvme', 'serve'], /name a file, or say how much --memory to serve/],
];

test('flags that do not go together are exit code 2 as well, and an event for programs', async () => {
  for (const [args, reason] of WRONG_TOGETHER) {
    const { code, stderr } = await runProgram(args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, reason);
  }
  const { code, events } = await runProgram(['cp', 'here', 'there', '--json']);
  assert.deepEqual([code, events.at(-1)?.['code']], [2, 'ERR_USAGE']);
});

test('every command explains itself', async () => {
  const commands = ['', 'demo', 'serve', 'connect', 'devices', 'certs', 'pingpong', 'bench'];
  for (const command of commands) {
    const { code, stdout, stderr } = await runProgram([...(command === '' ? [] : [command]), '--help']);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.match(stdout, new RegExp(`^Usage: queuepair ${command}`));
    assert.match(stdout, /Examples:\n {2}\$ queuepair /);
    for (const other of commands) if (command === '') assert.match(stdout, new RegExp(`\\b${other}\\b`));
  }
});

test('what cannot work is exit code 1 and one line that says what to do', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  const missing = `${testDir()}/missing.pem`;
  const cases: readonly [string[], RegExp][] = [
    [
      ['serve', ...devCerts(), ...FREE_DEVICE, '--port', String(port)],
      /another program uses that port; choose another/,
    ],
    [['serve', ...devCerts(), '--port', '0', '--device', 'soft:203.0.113.9'], /203\.0\.113\.9/],
    [['serve', ...devCerts(), '--port', '0', '--device', 'nosuch0'], NO_SUCH_DEVICE],
    [['serve', '--cert', missing, '--key', missing], /missing\.pem does not exist/],
    [
      ['serve', ...devCerts(), ...FREE_DEVICE, '--port', '0', '--metrics', String(port)],
      /cannot show metrics on 127\.0\.0\.1:/,
    ],
    [
      ['connect', '127.0.0.1:1', ...devCerts()],
      /the server 127\.0\.0\.1:1 refused the connection: nothing listens there/,
    ],
    [['connect', 'no-such-host.invalid', ...devCerts()], /its name does not resolve/],
    [['connect', '127.0.0.1', '--ca', missing], /missing\.pem does not exist/],
    [['devices', 'nosuch0'], NO_SUCH_DEVICE],
    [['certs', '--dir', '/proc/certs'], /\/proc\/certs/],
    [['demo', '--capture', '/no/such/dir/demo.pcapng'], /cannot write the capture/],
  ];
  try {
    for (const [args, reason] of cases) {
      const { code, stderr } = await runProgram(args);
      assert.equal(code, 1, `${args.join(' ')}\n${stderr}`);
      assert.match(stderr, /^queuepair: .*\n$/, 'one line');
      assert.match(stderr, reason);
      assert.doesNotMatch(stderr, /unexpected failure/);
    }
  } finally {
    taken.close();
  }
});
