/** What people get who type something that cannot be right: exit code 2, and one line that says what to type instead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram } from '../../testkit/program.js';
import { commandPaths, helpOf } from '../../testkit/program-help.js';

/** What is wrong, what to do about it, and where to read on. */
const ONE_LINE = /^queuepair: [^\n]+ \(see: queuepair( \w+)* --help\)\n$/;

const WRONG_USAGE: readonly [string[], RegExp][] = [
  [['bogus'], /there is no command 'bogus'/],
  [['serve', '--bogus'], /serve has no option '--bogus'/],
  [['serve', '--port', '65536'], /--port cannot be '65536': a port is 0 to 65535/],
  [['serve', '--slots', '0'], /--slots cannot be '0': write a number from 1 to 65536/],
  [
    ['serve', '--buffer', 'lots'],
    /--buffer cannot be 'lots': write a number of bytes such as 65536, 64KiB or 4MiB/,
  ],
  [
    ['serve', '--log-level', 'loud'],
    /--log-level cannot be 'loud': it is one of silent, fatal, error, warn, info, debug, trace/,
  ],
  [['connect'], /connect needs a target, HOST or HOST:PORT, or --srv NAME/],
  [
    ['connect', '127.0.0.1', '--srv', '_queuepair._tcp.a.test'],
    /a target and --srv both say where the server is; give one of them/,
  ],
  [['connect', 'a,,b'], /<target> cannot be 'a,,b': write HOST or HOST:PORT/],
  [['connect', '127.0.0.1:0'], /the port of a server is 1 to 65535/],
  [['connect', '[::1]:99999'], /the port of a server is 1 to 65535/],
  [['stats', '127.0.0.1'], /write PORT, HOST:PORT or a URL/],
  [
    ['connect', '127.0.0.1', '--timeout', 'soon'],
    /--timeout cannot be 'soon': write milliseconds, 1 or more/,
  ],
  [['bench', '--test', 'sleep'], /--test cannot be 'sleep': measurements are send-rtt, write-lat/],
  [['bench', '--size', '5MiB'], /--size cannot be '5MiB': a message has 1 byte to 4 MiB/],
  [['pingpong', '-n', '10', '--warmup', '10'], /--warmup 10 leaves nothing of -n 10 to measure/],
  [['demo', '--clients', '11'], /--clients cannot be '11': write a number from 1 to 10/],
];

test('wrong usage is exit code 2, with what is wrong and where to read on', async () => {
  for (const [args, reason] of WRONG_USAGE) {
    const { code, stdout, stderr } = await runProgram(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, reason);
    assert.match(stderr, ONE_LINE);
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
    assert.match(stderr, ONE_LINE);
  }
  const { code, events } = await runProgram(['cp', 'here', 'there', '--json']);
  assert.deepEqual([code, events.at(-1)?.['code']], [2, 'ERR_USAGE']);
});

test('every command explains itself', async () => {
  const paths = commandPaths();
  assert(paths.length > 15);
  for (const path of paths) {
    const text = await helpOf(path);
    assert.match(text, new RegExp(`^Usage: ${['queuepair', ...path].join(' ')} `));
    assert.match(text, /Examples:\n(?: {2}[^\n]*\n)*? {2}\$ queuepair /, path.join(' '));
    for (const line of text.split('\n')) assert(line.length <= 140, line);
  }
  const all = await helpOf([]);
  for (const [command = ''] of paths) assert.match(all, new RegExp(`\\b${command}\\b`));
  const { code, stdout, stderr } = await runProgram(['serve', '--help']);
  assert.deepEqual([code, stdout, stderr], [0, await helpOf(['serve']), '']);
});
