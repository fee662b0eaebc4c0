/** Calls that a program gives up: by a signal, or because their time is over. */
import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { test } from 'node:test';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import type { ConnectionStep } from '../../src/connection/common/steps.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

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
  // Behind it there is memory to send from at once.
  const before = connection.send(big);
  assert.equal((await served.receive())?.data.length, big.length);
  await before;
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
  assert.equal(connection.statistics.messagesSent, 3);
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

/** A served connection that does nothing, and a client whose device can go dark. */
async function darkRig(options: Partial<ConnectOptions> = {}) {
  const fragile = await FragileDevice.open(FREE_DEVICE);
  const server = await startServer(async (connection) => void (await connection.closed), options);
  const arrived = once(server, 'connection');
  const client = await connectTo(server, { device: fragile.device, recoveryMillis: 20_000, ...options });
  const [served] = (await arrived) as [Connection];
  const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
  return { fragile, server, client, served, remote };
}

type DarkRig = Awaited<ReturnType<typeof darkRig>>;

async function done({ fragile, server, client }: DarkRig): Promise<void> {
  await client.close();
  await server.close();
  assert.deepEqual(new Set(Object.values(fragile.device.census())), new Set([0]), 'something was left over');
  await fragile.device.close();
}

/** A promise whose rejection is looked at later. */
function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Posting takes turns: the registrations are asynchronous. */
const posted = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

for (const [kind, options] of [
  ['in clear', {}],
  ['sealed', { encryption: 'aes-256-gcm' }],
] as const) {
  test(`a posted write that is given up is of unknown outcome, a read is not; memory is free at once: ${kind}`, async () => {
    const rig = await darkRig(options);
    const { fragile, client, served, remote } = rig;
    fragile.isDark = true;
    const abort = new AbortController();
    const { signal } = abort;
    const data = new Uint8Array(1000).fill(7);
    const writing = later(client.write(remote.at(0, 1000), data, { signal }));
    const patience = { timeoutMillis: 300, repeatable: true };
    const late = later(client.write(remote.at(2000, 10), data.subarray(0, 10), patience));
    const reading = later(client.read(remote.at(1000, 10), 10, { signal }));
    await posted();
    const reason = new Error('enough');
    abort.abort(reason);
    data.fill(9);
    await Promise.all([
      assert.rejects(writing, ({ code, cause }) => {
        assert.equal(code, 'ERR_RDMA_OUTCOME_UNKNOWN');
        assert.deepEqual([cause.code, cause.cause], ['ERR_RDMA_ABORTED', reason]);
        return true;
      }),
      assert.rejects(reading, { code: 'ERR_RDMA_ABORTED', cause: reason }),
      assert.rejects(late, ({ code, cause }) => {
        assert.deepEqual([code, cause.code], ['ERR_RDMA_OUTCOME_UNKNOWN', 'ERR_RDMA_TIMEOUT']);
        return true;
      }),
    ]);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    assert.equal(served.buffer[0], 0);
    fragile.isDark = false;
    // The device still has the write, and the bytes of before.
    const seen = await client.read(remote.at(0, 1000));
    assert.deepEqual(new Set(seen), new Set([7]));
    const { writes, reads } = client.statistics;
    assert.deepEqual([writes, reads], [0, 1]);
    await assert.rejects(client.write(remote, data, { signal }), { code: 'ERR_RDMA_ABORTED' });
    await assert.rejects(client.read(remote, 1, { signal }), { code: 'ERR_RDMA_ABORTED' });
    await done(rig);
  });

  test(`what waits in the queue, or for a recovery, is taken out when it is given up: ${kind}`, async () => {
    const rig = await darkRig(options);
    const { fragile, client, served, remote } = rig;
    const reconnecting = once(client, 'reconnecting');
    fragile.isDark = true;
    await fragile.failQueuePairs();
    await reconnecting;
    const abort = new AbortController();
    const mark = (at: number, given: object) =>
      later(client.write(remote.at(at, 1), Uint8Array.of(1), given));
    const aborted = mark(0, { signal: abort.signal });
    const late = mark(1, { timeoutMillis: 20 });
    const reading = later(client.read(remote.at(0, 1), 1, { timeoutMillis: 20 }));
    const kept = mark(2, { signal: new AbortController().signal, timeoutMillis: 60_000 });
    await posted();
    abort.abort();
    await Promise.all([
      assert.rejects(aborted, { code: 'ERR_RDMA_ABORTED' }),
      assert.rejects(late, { code: 'ERR_RDMA_TIMEOUT' }),
      assert.rejects(reading, { code: 'ERR_RDMA_TIMEOUT' }),
    ]);
    fragile.isDark = false;
    await kept;
    assert.deepEqual([...served.buffer.subarray(0, 3)], [0, 0, 1]);
    await done(rig);
  });
}

test('a repeatable write that waits for its repetition is not repeated when it is given up, and is of unknown outcome', async () => {
  const rig = await darkRig();
  const { fragile, client, served, remote } = rig;
  const reconnecting = once(client, 'reconnecting');
  const reconnected = recoveryOf(client);
  fragile.isDark = true;
  const abort = new AbortController();
  const options = { repeatable: true, signal: abort.signal };
  const writing = later(client.write(remote.at(0, 1), Uint8Array.of(1), options));
  await posted();
  await fragile.failQueuePairs();
  await reconnecting;
  abort.abort();
  await assert.rejects(writing, { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  fragile.isDark = false;
  await reconnected;
  await client.write(remote.at(1, 1), Uint8Array.of(1));
  assert.deepEqual([...served.buffer.subarray(0, 2)], [0, 1]);
  await done(rig);
});

test('the signal of connect is for connecting: a connection that is up goes on', async () => {
  const server = await startServer();
  const abort = new AbortController();
  const client = await connectTo(server, { signal: abort.signal });
  assert.equal(getEventListeners(abort.signal, 'abort').length, 0);
  abort.abort();
  await new Promise(setImmediate);
  await client.send('still here');
  await client.close();
  await server.close();
});

test('reads and writes beyond maxOperations are refused alone, also while given up ones are still under way', async () => {
  const rig = await darkRig({ maxOperations: 4 });
  const { fragile, client, remote } = rig;
  const byte = Uint8Array.of(1);
  fragile.isDark = true;
  const running = [0, 1].map((at) => client.write(remote.at(at, 1), byte));
  const given = [2, 3].map((at) => client.write(remote.at(at, 1), byte, { timeoutMillis: 300 }));
  await Promise.all(given.map((one) => assert.rejects(one, { code: 'ERR_RDMA_OUTCOME_UNKNOWN' })));
  await assert.rejects(client.write(remote.at(4, 1), byte), {
    code: 'ERR_RDMA_QUEUE_FULL',
    message: /maxOperations/,
  });
  await assert.rejects(client.read(remote.at(4, 1)), { code: 'ERR_RDMA_QUEUE_FULL' });
  fragile.isDark = false;
  await Promise.all(running);
  await client.write(remote.at(4, 1), byte);
  for (let i = 0; i < 100; i++)
    await Promise.all([0, 1, 2, 3].map((at) => client.write(remote.at(at, 1), byte)));
  await done(rig);
});
