/** A server that closes finishes what it has begun, and only that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { connectTo, startServer } from '../../testkit/session-pair.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('messages that have arrived are answered before the connection ends in order', async () => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = await startServer(async (connection) => {
    for await (const message of connection) {
      await gate;
      await connection.send(message.data);
    }
  });
  const connection = await connectTo(server);
  for (let i = 0; i < 5; i++) await connection.send(`question ${i}`);
  const closing = server.close(20_000);
  await assert.rejects(connectTo(server), { code: 'ERR_RDMA_REFUSED', message: /closing/ });
  release();
  const answers: string[] = [];
  for await (const { data } of connection) answers.push(Buffer.from(data).toString());
  assert.deepEqual(
    answers,
    [0, 1, 2, 3, 4].map((i) => `question ${i}`),
  );
  await closing;
  assert.equal(await connection.closed, undefined, 'the end was orderly');
});

test('a handler that does not end gets an orderly end for its client, and one that clings is aborted', async () => {
  const server = await startServer(async () => {
    await new Promise(() => {});
  });
  const idle = await connectTo(server);
  await server.close(200);
  assert.equal(await idle.closed, undefined);

  const clinging = await startServer(async (connection) => {
    let isOver = false;
    void connection.closed.then(() => {
      isOver = true;
    });
    while (!isOver) await connection.send(new Uint8Array(100_000)).catch(turn);
  });
  const client = await connectTo(clinging, { receiveSlots: 1 });
  await clinging.close(200);
  assert.ok(['ERR_RDMA_REFUSED', undefined].includes((await client.closed)?.code));
});

test('abort ends everything at once', async () => {
  const server = await startServer();
  const connection = await connectTo(server);
  await new ServiceClient(connection).welcome();
  server.abort();
  assert.equal((await connection.closed)?.code, 'ERR_RDMA_REFUSED');
  await server.close();
});
