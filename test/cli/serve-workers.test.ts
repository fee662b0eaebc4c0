/** `queuepair serve --workers`: the same service for clients, in threads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientFlags, runProgram, serve, stop } from '../../testkit/program.js';

test('serve --workers welcomes, echoes and hashes, says which devices there are, and leaves nothing over', async () => {
  const server = await serve('--workers', '2', '--handshake-timeout', '60000');
  const listening = await server.program.event('listening');
  const workers = listening['workers'] as readonly { readonly udpPort: number }[];
  assert.equal(new Set(workers.map(({ udpPort }) => udpPort)).size, 2);
  assert.equal(listening['udpPort'], workers[0]?.udpPort);
  const clients = await Promise.all(
    [1, 2, 3].map(() =>
      runProgram([...clientFlags(server), '--exec', 'send hello; write abc; quit', '--json']),
    ),
  );
  for (const { code, stdout, stderr } of clients) {
    assert.equal(code, 0, stderr);
    assert.match(stdout, /hello/);
  }
  const gone = server.program.events.filter(({ event }) => event === 'disconnected');
  assert.deepEqual(
    gone.map(({ error }) => error),
    [null, null, null],
  );
  await stop(server);
  const heard = server.program.events.filter(({ event }) => event === 'message' || event === 'write');
  const seen = heard.map(({ client, event, type = '' }) => `${client} ${event} ${type}`);
  assert.deepEqual(
    seen.sort(),
    [1, 2, 3].flatMap((client) => [`${client} message data`, `${client} message write`, `${client} write `]),
  );
});

test('serve --share is not for workers, and says so', async () => {
  const { code, stderr } = await runProgram(['serve', '--workers', '2', '--share', '.']);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /--share is served by the main thread: leave out --workers/);
});
