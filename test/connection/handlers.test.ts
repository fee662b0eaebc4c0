/** Handlers of every shape and with every mistake: the server goes on, and the mistake is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Connection } from '../../src/connection/program/connection.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

const bug = (): never => {
  throw new TypeError('the handler has a bug');
};

const HANDLERS: Readonly<Record<string, (connection: Connection) => unknown>> = {
  'throws at once': bug,
  rejects: async () => bug(),
  'rejects later': async (connection) => {
    await connection.receive();
    bug();
  },
  'calls something wrongly': async (connection) => {
    await connection.send('text', { tag: -1 });
  },
};

for (const [name, handler] of Object.entries(HANDLERS)) {
  test(`a handler that ${name} ends its connection and not the server, and is told`, async () => {
    const server = await startServer(handler);
    const told = once(server, 'handlerError') as Promise<[Connection, unknown]>;
    const connection = await connectTo(server, { recoveryMillis: 0 });
    await connection.send('go').catch(() => {});
    const [of, error] = await told;
    assert.ok(error instanceof Error);
    assert.equal(of.id, 1);
    assert.equal((await connection.closed)?.code, 'ERR_RDMA_REFUSED');
    await serverIsEmpty(server);
    const next = await connectTo(server, { recoveryMillis: 0 });
    await next.send('go').catch(() => {});
    await next.closed;
    await server.close();
  });
}

test('a handler that is not async ends its connection in order when it returns', async () => {
  const server = await startServer(() => 'whatever');
  const connection = await connectTo(server);
  assert.equal(await connection.closed, undefined);
  await serverIsEmpty(server);
  await server.close();
});

test('a mistake of a handler that nobody listens for becomes a warning of the process', async () => {
  const server = await startServer(bug);
  const warned = once(process, 'warning') as Promise<[Error & { code?: string }]>;
  const connection = await connectTo(server);
  const [warning] = await warned;
  assert.equal(warning.name, 'RdmaHandlerWarning');
  assert.equal(warning.code, 'RDMA_HANDLER_ERROR');
  assert.match(warning.message, /connection 1 failed: TypeError: the handler has a bug\n.*handlers\.test/);
  await connection.closed;
  await server.close();
});
