/** A program whose listeners throw hears of it as of any exception that nobody catches, and nobody else notices. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Connection } from '../../src/connection/program/connection.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

/** Collects what nobody catches, in place of the test runner. */
function collectUncaught(): { readonly uncaught: ReadonlySet<string>; [Symbol.dispose](): void } {
  const uncaught = new Set<string>();
  const usual = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => uncaught.add(String(reason)));
  return {
    uncaught,
    [Symbol.dispose]() {
      process.removeAllListeners('unhandledRejection');
      for (const listener of usual) process.on('unhandledRejection', listener);
    },
  };
}

const fail = (what: string) => (): never => {
  throw new Error(what);
};

test('a server whose every listener throws serves its clients, frees everything, and can be closed', async () => {
  using collected = collectUncaught();
  const { uncaught } = collected;
  const server = await startServer(
    async (connection) => {
      for (const event of ['granted', 'revoked', 'closed'] as const) connection.on(event, fail(event));
      const grant = await connection.grant(new Uint8Array(16), { read: true });
      for await (const { data } of connection) await connection.send(data);
      await grant.revoke();
    },
    { slots: 1, onStep: fail('onStep'), onAudit: fail('onAudit') },
  );
  for (const event of ['connection', 'disconnection', 'refused'] as const) server.on(event, fail(event));
  for (let client = 0; client < 2; client++) {
    const connection = await within(connectTo(server, { onStep: fail('onStep') }), 10_000);
    await assert.rejects(connectTo(server), { refusal: 'no-slot' });
    await connection.send('hello');
    assert.equal(Buffer.from((await connection.receive())?.data ?? []).toString(), 'hello');
    await within(connection.close(), 10_000);
    await within(serverIsEmpty(server), 10_000);
    assert.equal(server.connections.size, 0);
  }
  await within(server.close(), 10_000);
  const events = ['granted', 'revoked', 'closed', 'connection', 'disconnection', 'refused'];
  for (const what of [...events, 'onStep', 'onAudit'])
    assert.ok(uncaught.has(`Error: ${what}`), `the process hears of ${what}`);
});

test('a worker that dies is replaced, and all its connections end, though who hears of it throws', async () => {
  using collected = collectUncaught();
  const { uncaught } = collected;
  const handler = new URL('../../testkit/worker-handler.js', import.meta.url);
  const server = await startWorkerServer(handler, 1);
  const ends: Promise<unknown>[] = [];
  server.on('connection', (connection: Connection) => {
    connection.on('revoked', fail('revoked'));
    ends.push(connection.closed);
  });
  const lost = once(server, 'workerLost');
  server.on('workerLost', fail('workerLost'));
  const clients = [await join(server), await join(server), await join(server)];
  for (const client of clients.slice(1)) {
    await client.send('grant');
    await client.receive();
  }
  await clients[0]?.send('exit').catch(() => {});
  await within(lost, 30_000);
  assert.equal(ends.length, 3);
  await within(Promise.all(ends), 30_000);
  const next = await within(join(server), 60_000);
  await next.send('again');
  assert.equal(Buffer.from((await next.receive())?.data ?? []).toString(), 'again');
  await next.close();
  await within(server.close(), 30_000);
  for (const what of ['revoked', 'workerLost']) assert.ok(uncaught.has(`Error: ${what}`), what);
});
