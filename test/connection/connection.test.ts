import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ServiceClient, sha256 } from '../../src/cli/service/message-service.js';
import { ServiceTag } from '../../src/cli/service/service-tags.js';
import type { ConnectionStep } from '../../src/connection/common/steps.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { CLIENT_STEPS, SERVER_STEPS } from '../../testkit/session-steps.js';

test('a client is welcomed, echoed, writes and reads the server memory, and quits', async () => {
  const server = await startServer();
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  assert.equal(await client.welcome(), 'welcome, client 1');
  assert.equal(Buffer.from(await client.echo('hello')).toString(), 'hello');
  const data = randomBytes(300_001);
  const acknowledgement = await client.write(data, 1000);
  assert.deepEqual(acknowledgement, { offset: 1000, length: data.length, sha256: sha256(data) });
  assert.equal(sha256(await client.read(1000, data.length)), sha256(data));
  await connection.close();
  assert.equal(await connection.closed, undefined);
  await serverIsEmpty(server);
  await server.close();
});

test('messages of every size arrive whole and in order, in both directions', async () => {
  const sizes = [0, 1, 100, 16_359, 16_360, 16_361, 200_000, 3_000_000, 7];
  const server = await startServer();
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  const messages = sizes.map((size) => randomBytes(size));
  const sent = messages.map((message) => connection.send(message));
  for (const message of messages) {
    const echo = await connection.receive();
    assert.equal(echo?.tag, ServiceTag.ECHO);
    assert.equal(sha256(echo?.data ?? new Uint8Array(1)), sha256(message));
  }
  await Promise.all(sent);
  assert.equal(connection.statistics.messagesSent, sizes.length);
  await connection.close();
  await server.close();
});

test('the steps of a session happen in their order, at both ends', async () => {
  const steps: ConnectionStep[] = [];
  const onStep = (step: ConnectionStep) => void steps.push(step);
  const server = await startServer(undefined, { onStep });
  const clientSteps: ConnectionStep[] = [];
  const connection = await connectTo(server, { onStep: (step) => void clientSteps.push(step) });
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
  assert.deepEqual(
    clientSteps.map(({ name }) => name),
    CLIENT_STEPS,
  );
  assert.deepEqual(
    steps.map(({ name }) => name),
    SERVER_STEPS,
  );
  assert.equal(JSON.stringify(steps).includes('Psn"'), false, 'PSNs are not told unless asked for');
});

test('30 clients in turn and 10 at once leave nothing behind, and the eleventh is refused with the reason', async () => {
  const server = await startServer();
  for (let i = 0; i < 30; i++) {
    const connection = await connectTo(server);
    const client = new ServiceClient(connection);
    await client.welcome();
    await client.echo(`client ${i}`);
    await connection.close();
  }
  await serverIsEmpty(server);
  const before = server.census();
  const connections = await Promise.all(Array.from({ length: 10 }, () => connectTo(server)));
  assert.equal(server.census().qps, 10);
  assert.equal(server.census().slots, 10);
  await assert.rejects(connectTo(server), {
    code: 'ERR_RDMA_REFUSED',
    message: /all 10 slots of this server are in use; try again later/,
  });
  await Promise.all(
    connections.map(async (connection, i) => {
      const client = new ServiceClient(connection);
      await client.welcome();
      const data = randomBytes(100_000 + i);
      const { sha256: found } = await client.write(data);
      assert.equal(found, sha256(data));
      await connection.close();
    }),
  );
  await serverIsEmpty(server);
  assert.deepEqual(server.census(), before);
  await server.close();
});

test('without recovery, a wrong rkey gets the verbs error at both ends, and the connection ends clean', async () => {
  const server = await startServer(undefined, { recoveryMillis: 0 });
  const ended = new Promise<string>((resolve) => {
    server.once('disconnection', (_, error) => resolve(`${error?.code} ${error?.status}`));
  });
  const other = await connectTo(server);
  const connection = await connectTo(server, { recoveryMillis: 0 });
  const remote = connection.remoteBuffer as RemoteBuffer;
  const forged = new RemoteBuffer(remote.addr, (remote.rkey ^ 1) >>> 0, remote.length);
  await assert.rejects(connection.write(forged, randomBytes(10)), {
    code: 'ERR_RDMA_COMPLETION',
    status: 'REM_ACCESS_ERR',
  });
  assert.equal((await connection.closed)?.status, 'REM_ACCESS_ERR');
  assert.equal(await ended, 'ERR_RDMA_COMPLETION QP_ACCESS_ERR');
  const client = new ServiceClient(other);
  await client.welcome();
  assert.equal(Buffer.from(await client.echo('still here')).toString(), 'still here');
  await other.close();
  await serverIsEmpty(server);
  await server.close();
});

test('a write beyond the end of the buffer is refused before it leaves, and by the peer if it does', async () => {
  const server = await startServer();
  const connection = await connectTo(server);
  const remote = connection.remoteBuffer as RemoteBuffer;
  await assert.rejects(connection.write(remote.at(remote.length - 4), randomBytes(5)), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
  });
  const tooLong = new RemoteBuffer(remote.addr, remote.rkey, remote.length + 1);
  await assert.rejects(connection.write(tooLong, new Uint8Array(remote.length + 1)), {
    status: 'REM_ACCESS_ERR',
  });
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('a message above the limit of the receiver is refused before it leaves, and hurts no other', async () => {
  const server = await startServer(undefined, { maxMessageBytes: 1000 });
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  assert.equal(connection.maxMessageBytes, 1000);
  const before = connection.send(new Uint8Array(1000));
  await assert.rejects(connection.send(new Uint8Array(1001)), { code: 'ERR_RDMA_MESSAGE_TOO_LARGE' });
  await before;
  assert.equal((await connection.receive())?.data.length, 1000);
  assert.equal(connection.statistics.messagesSent, 1, 'what was refused was not sent');
  assert.equal(Buffer.from(await client.echo('still here')).toString(), 'still here');
  await connection.close();
  await serverIsEmpty(server);
  await server.close();
});

test('a loop that does not await its sends is refused when too much waits, and nothing before is lost', async () => {
  const server = await startServer();
  const connection = await connectTo(server, { sendQueueBytes: 20_000 });
  await connection.receive();
  const sends = Array.from({ length: 100 }, (_, i) => connection.send(Buffer.alloc(1000, i)));
  const { messages, bytes, maxBytes } = connection.sendQueue;
  assert.ok(messages > 0 && bytes <= maxBytes && maxBytes === 20_000);
  const results = await Promise.allSettled(sends);
  const refused = results.filter((result) => result.status === 'rejected');
  assert.ok(refused.length > 0);
  for (const { reason } of refused) assert.equal(reason.code, 'ERR_RDMA_QUEUE_FULL');
  for (const [i, { status }] of results.entries()) {
    if (status === 'fulfilled') assert.equal((await connection.receive())?.data[0], i);
  }
  assert.equal(connection.sendQueue.bytes, 0);
  await connection.close();
  await server.close();
});

test('a receiver that takes nothing stops its sender without losing anything', async () => {
  let release: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const total = 400;
  const received: number[] = [];
  const server = await startServer(
    async (connection) => {
      await gate;
      for await (const message of connection) received.push(message.data.length);
    },
    { receiveSlots: 4, slotBytes: 1024, maxMessageBytes: 8192 },
  );
  const connection = await connectTo(server);
  let acknowledged = 0;
  const all = Array.from({ length: total }, (_, i) =>
    connection.send(new Uint8Array(500 + i)).then(() => {
      acknowledged++;
    }),
  );
  while (acknowledged < 4) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(acknowledged < 40, true, `${acknowledged} messages went to a receiver that takes none`);
  release();
  await Promise.all(all);
  await connection.close();
  await serverIsEmpty(server);
  assert.deepEqual(
    received,
    all.map((_, i) => 500 + i),
  );
  await server.close();
});

test('the server closes while clients are at work: everybody learns it and nothing is left', async () => {
  const server = await startServer();
  const connections = await Promise.all(Array.from({ length: 3 }, () => connectTo(server)));
  const work = connections.map(async (connection) => {
    const client = new ServiceClient(connection);
    await client.welcome();
    for (;;) await client.write(randomBytes(200_000));
  });
  const settled = Promise.allSettled(work);
  await new Promise((resolve) => setTimeout(resolve, 30));
  await server.close();
  const results = await settled;
  assert.deepEqual(new Set(results.map(({ status }) => status)), new Set(['rejected']));
  await Promise.all(connections.map(({ closed }) => closed));
  assert.deepEqual(new Set(Object.values(server.census())), new Set([0]));
});
