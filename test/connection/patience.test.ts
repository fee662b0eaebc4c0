/** Calls that a program gives up: by a signal, or because their time is over. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import type { Connection } from '../../src/connection/connection.js';
import type { ConnectionStep } from '../../src/connection/steps.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

test('a receive that is given up loses no message, and leaves nothing at its signal', async () => {
  const server = await startServer();
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  const abort = new AbortController();
  const waiting = connection.receive({ signal: abort.signal });
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(waiting, { code: 'ERR_RDMA_ABORTED', cause: reason });
  await assert.rejects(connection.receive({ signal: abort.signal }), { code: 'ERR_RDMA_ABORTED' });
  await assert.rejects(connection.receive({ timeoutMillis: 1 }), { code: 'ERR_RDMA_TIMEOUT' });
  const { signal } = new AbortController();
  for (let i = 0; i < 10_000; i++) {
    await connection.send('', { signal, timeoutMillis: 60_000 });
    assert.equal((await connection.receive({ signal, timeoutMillis: 60_000 }))?.data.length, 0);
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  assert.equal(Buffer.from(await client.echo('still here')).toString(), 'still here');
  await connection.close();
  await server.close();
});

test('a send that is given up is not sent, or arrives whole; its memory is free, and order holds', async () => {
  const server = await startServer(async (connection) => void (await connection.closed));
  const arrived = new Promise<Connection>((resolve) => {
    server.once('connection', resolve);
  });
  const connection = await connectTo(server);
  const served = await arrived;
  const big = new Uint8Array(connection.maxMessageBytes).fill(7);
  const abort = new AbortController();
  const first = connection.send(big, { signal: abort.signal });
  const second = connection.send('never', { signal: abort.signal });
  const third = connection.send('after');
  abort.abort();
  await assert.rejects(first, { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  await assert.rejects(second, { code: 'ERR_RDMA_ABORTED' });
  big.fill(0);
  const message = await served.receive();
  assert.equal(message?.data.length, big.length);
  assert.ok(message?.data.every((byte) => byte === 7));
  assert.equal(Buffer.from((await served.receive())?.data ?? []).toString(), 'after');
  await third;
  assert.equal(connection.sendQueue.bytes, 0);
  assert.equal(connection.statistics.messagesSent, 2);
  await assert.rejects(connection.send('x', { signal: abort.signal }), { code: 'ERR_RDMA_ABORTED' });
  await connection.close();
  await server.close();
});

for (const step of ['tls', 'psn-exchanged', 'objects-created', 'rts', 'receives-posted'] as const) {
  test(`connecting is given up after the step ${step}`, async () => {
    const server = await startServer();
    const abort = new AbortController();
    const reason = new Error('enough');
    const { signal } = abort;
    const onStep = ({ name }: ConnectionStep): void => {
      if (name === step) abort.abort(reason);
    };
    await assert.rejects(connectTo(server, { signal, onStep }), { code: 'ERR_RDMA_ABORTED', cause: reason });
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    await serverIsEmpty(server);
    await server.close();
  });
}
