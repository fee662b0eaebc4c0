/** What people get who type what is right and cannot work here: exit code 1, and one line that says what to do. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { devCerts, FREE_DEVICE, runProgram, testDir } from '../../testkit/program.js';

/** Why depends on the machine: it may lack libibverbs. */
const NO_SUCH_DEVICE =
  /there is no device 'nosuch0': .*\. The device 'soft' is there everywhere, without hardware/;

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
    [
      ['serve', ...devCerts(), '--port', '0', '--host', '203.0.113.9'],
      /cannot listen on 203\.0\.113\.9:0: no network interface of this machine has that address/,
    ],
    [
      ['serve', ...devCerts(), '--port', '0', '--host', 'no-such-host.invalid'],
      /cannot listen on no-such-host\.invalid:0: that name does not resolve/,
    ],
    [
      ['proxy', '--listen', `tcp:127.0.0.1:${port}`, '--to', 'rdma:127.0.0.1:1', ...devCerts()],
      /cannot listen on tcp:127\.0\.0\.1:\d+: another program uses that port; choose another/,
    ],
    [['serve', ...devCerts(), '--port', '0', '--device', 'nosuch0'], NO_SUCH_DEVICE],
    [['serve', '--cert', missing, '--key', missing], /missing\.pem does not exist/],
    [
      ['serve', ...devCerts(), ...FREE_DEVICE, '--port', '0', '--metrics', String(port)],
      /cannot show metrics on 127\.0\.0\.1:\d+: another program uses that port; choose another/,
    ],
    [
      ['connect', '127.0.0.1:1', ...devCerts()],
      /the server 127\.0\.0\.1:1 refused the connection: nothing listens there/,
    ],
    [['stats', '2'], /its server refused the connection: nothing listens there; a server shows/],
    [
      ['pingpong', '127.0.0.1', '-p', '1', '-d', 'soft:127.0.91.7'],
      /the server 127\.0\.0\.1:1 refused the connection: nothing/,
    ],
    // Also by the name of the stock tool.
    [
      ['perftest', 'ib_send_bw', '127.0.0.1', '-p', '1', '-d', 'soft:127.0.91.8'],
      /the server 127\.0\.0\.1:1 refused/,
    ],
    [['connect', 'no-such-host.invalid', ...devCerts()], /its name does not resolve/],
    [['connect', '127.0.0.1', '--ca', missing], /missing\.pem does not exist/],
    [['devices', 'nosuch0'], NO_SUCH_DEVICE],
    [['certs', '--dev-certs', '/proc/certs'], /\/proc\/certs/],
    [['demo', '--capture', '/no/such/dir/demo.pcapng'], /cannot write the capture/],
  ];
  try {
    for (const [args, reason] of cases) {
      const { code, stdout, stderr } = await runProgram(args);
      assert.equal(code, 1, `${args.join(' ')}\n${stderr}`);
      assert.match(stderr, /^queuepair: .*\n$/, 'one line');
      assert.match(stderr, reason);
      assert.doesNotMatch(stderr, /unexpected failure/);
      assert.doesNotMatch(stdout, /listening/, 'nothing is told of a server that does not come to be');
    }
  } finally {
    taken.close();
  }
});
