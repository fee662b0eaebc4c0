/** Connections that leave their TLS session once they are up: they live, recover and end without it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionHandler } from '../../src/connection/program/handler.js';
import type { Server } from '../../src/connection/server/server.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { type FragilePair, startFragilePair } from '../../testkit/fragile-pair.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

const BRIEF = { lifeline: 'brief', keepAliveMillis: 200 } as const;
const echo: ConnectionHandler = async (connection) => {
  for await (const { data } of connection) await connection.send(data);
};

const startRig = (
  handler: ConnectionHandler = echo,
  serverOptions: Partial<ListenOptions> = BRIEF,
  clientOptions: Partial<ConnectOptions> = BRIEF,
): Promise<FragilePair> => startFragilePair(handler, serverOptions, clientOptions);

const sessionIs = async (connection: Connection, session: Connection['session']): Promise<void> => {
  while (connection.session !== session) await new Promise((resolve) => setTimeout(resolve, 2));
};
const channelsAreGone = async (server: Server): Promise<void> => {
  while (server.census().controlChannels > 0) await new Promise((resolve) => setTimeout(resolve, 2));
};
const ask = async (connection: Connection, text: string): Promise<string> => {
  await connection.send(text);
  const answer = await within(connection.receive(), 10_000);
  return Buffer.from(answer?.data ?? assert.fail('no answer')).toString();
};
const endOf = (server: Server): Connection => [...server.connections][0] ?? assert.fail('no connection');

test('a session is left on purpose, and the connection goes on and ends in order without it', async () => {
  await using rig = await startRig();
  const { client, server } = rig;
  assert.equal(await ask(client, 'before'), 'before');
  await within(Promise.all([sessionIs(client, 'left'), channelsAreGone(server)]));
  const end = endOf(server);
  assert.equal(end.session, 'left');
  assert.equal(rig.tcp.cut(), 0, 'no TCP connection is left');
  assert.equal(await ask(client, 'after'), 'after');
  assert.equal(end.remoteAddress, '127.0.0.1');
  const closed = once(end, 'closed');
  await within(client.close());
  assert.equal((await within(closed))[0], undefined);
  assert.equal(await client.closed, undefined);
  assert.equal(client.session, 'lost');
  await serverIsEmpty(server);
});

test('a server that closes ends brief connections in order', async () => {
  await using rig = await startRig();
  await within(sessionIs(rig.client, 'left'));
  const closed = rig.client.closed;
  await within(rig.server.close());
  assert.equal(await within(closed), undefined);
});

for (const [whose, own, other] of [
  ['server', BRIEF, {}],
  ['client', {}, BRIEF],
] as const) {
  test(`the session stays where the ${whose} alone would leave it`, async () => {
    await using rig = await startRig(echo, own, other);
    assert.equal(await ask(rig.client, 'hello'), 'hello');
    assert.equal(rig.client.session, 'open');
    assert.equal(endOf(rig.server).session, 'open');
    assert.equal(rig.server.census().controlChannels, 1);
  });
}

test('authorize decides which clients leave their session', async () => {
  await using rig = await startRig(echo, { ...BRIEF, authorize: () => ({ lifeline: 'session' }) });
  assert.equal(await ask(rig.client, 'hello'), 'hello');
  assert.equal(endOf(rig.server).session, 'open');
});

for (const [whose, fail] of [
  ['client', ({ clientDevice }: FragilePair) => clientDevice.failQueuePairs()],
  ['server', ({ serverDevice }: FragilePair) => serverDevice.failQueuePairs()],
] as const) {
  test(`a silent connection whose ${whose}'s queue pair fails recovers over a session of its own, and leaves that, too`, async () => {
    await using rig = await startRig(echo, BRIEF, { ...BRIEF, encryption: 'aes-256-gcm' });
    assert.equal(await ask(rig.client, 'before'), 'before');
    await within(Promise.all([sessionIs(rig.client, 'left'), sessionIs(endOf(rig.server), 'left')]));
    const recovered = recoveryOf(rig.client);
    await fail(rig);
    await within(recovered, 10_000);
    assert.equal(await ask(rig.client, 'after'), 'after');
    await within(Promise.all([sessionIs(rig.client, 'left'), channelsAreGone(rig.server)]));
    assert.equal(rig.server.connections.size, 1);
  });
}

test('a client that comes back is taken up at once by a server that believed it there', async () => {
  // The server would not look after its client within the time of this test.
  const silent = { ...BRIEF, keepAliveMillis: 60_000 };
  await using rig = await startRig(echo, silent, silent);
  assert.equal(await ask(rig.client, 'before'), 'before');
  await within(Promise.all([sessionIs(rig.client, 'left'), sessionIs(endOf(rig.server), 'left')]));
  const recovered = recoveryOf(rig.client);
  await rig.clientDevice.failQueuePairs();
  await within(recovered, 10_000);
  assert.equal(await ask(rig.client, 'after'), 'after');
});

test('messages that were under way when the network went dark arrive once', async () => {
  await using rig = await startRig();
  await within(sessionIs(rig.client, 'left'));
  const recovered = recoveryOf(rig.client);
  rig.serverDevice.isDark = true;
  const texts = Array.from({ length: 20 }, (_, i) => `message ${i}`);
  const sent = Promise.all(texts.map((text) => rig.client.send(text)));
  await once(rig.client, 'reconnecting');
  rig.serverDevice.isDark = false;
  await within(recovered, 10_000);
  await sent;
  for (const text of texts)
    assert.equal(Buffer.from((await rig.client.receive())?.data ?? []).toString(), text);
});

test('a peer that is gone for good is found by its silence', async () => {
  const short = { ...BRIEF, recoveryMillis: 300 };
  await using rig = await startRig(echo, short, short);
  await within(sessionIs(rig.client, 'left'));
  const end = endOf(rig.server);
  rig.clientDevice.isDark = true;
  rig.tcp.refuses = true;
  assert.equal((await within(end.closed, 15_000))?.code, 'ERR_RDMA_TIMEOUT');
  assert.equal((await within(rig.client.closed, 15_000))?.fault, 'network');
});

test('an end that closes while the other reads nothing of a stream ends both in order, and loses nothing that was there', async () => {
  const handler: ConnectionHandler = async (connection) => {
    await connection.receive();
    const stream = await connection.openStream();
    stream.on('error', () => {});
    stream.write(Buffer.alloc(600_000));
    await connection.send('one message');
    await connection.closed;
  };
  await using rig = await startRig(
    handler,
    { ...BRIEF, streams: { open: 1 } },
    {
      ...BRIEF,
      streams: { open: 1, windowBytes: 4096 },
    },
  );
  await within(sessionIs(rig.client, 'left'));
  const end = endOf(rig.server);
  const opened = once(rig.client, 'stream');
  await rig.client.send('begin');
  await within(opened);
  await within(end.close(), 10_000);
  assert.equal(await within(rig.client.closed, 2000), undefined);
  assert.equal(Buffer.from((await rig.client.receive())?.data ?? []).toString(), 'one message');
  assert.equal(await end.closed, undefined);
  await serverIsEmpty(rig.server);
});

for (const [whose, kind] of [
  ['server', 'aborted'],
  ['client', 'left'],
] as const) {
  test(`a ${whose} that aborts a brief connection tells the other end at once`, async () => {
    // Nobody would find the silence within the time of this test.
    const silent = { lifeline: 'brief', keepAliveMillis: 60_000 } as const;
    await using rig = await startRig(echo, silent, silent);
    assert.equal(await ask(rig.client, 'hello'), 'hello');
    await within(Promise.all([sessionIs(rig.client, 'left'), sessionIs(endOf(rig.server), 'left')]));
    const [own, other] =
      whose === 'server' ? [endOf(rig.server), rig.client] : [rig.client, endOf(rig.server)];
    own.abort(new RdmaError('ERR_RDMA_ABORTED', 'the program gave up'));
    const error = await within(other.closed, 2000);
    assert.equal(error?.code, 'ERR_RDMA_REFUSED');
    assert.equal(error?.refusal, kind);
    assert.match(error?.message ?? '', /ended the connection \(aborted\)$/);
    assert.equal((await within(own.closed))?.code, 'ERR_RDMA_ABORTED');
    await serverIsEmpty(rig.server);
  });
}

test('a session that is cut while it is left ends nothing', async () => {
  for (let i = 0; i < 20; i++) {
    await using rig = await startRig();
    for (let turn = 0; turn < i % 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    rig.tcp.cut();
    assert.equal(await ask(rig.client, `cut ${i}`), `cut ${i}`);
    await within(sessionIs(rig.client, 'left'), 10_000);
  }
});

test('a server of workers leaves the sessions of its connections', async () => {
  const handler = new URL('../../testkit/worker-handler.js', import.meta.url);
  const server = await startWorkerServer(handler, 1, BRIEF);
  const client = await join(server, BRIEF);
  assert.equal(await ask(client, 'hello'), 'hello');
  await within(Promise.all([sessionIs(client, 'left'), channelsAreGone(server)]));
  assert.equal(await ask(client, 'hello again'), 'hello again');
  await within(client.close());
  await within(serverIsEmpty(server));
  await server.close();
});

test('a brief client of a worker that aborts it learns why', async () => {
  const handler = new URL('../../testkit/worker-handler.js', import.meta.url);
  const silent = { lifeline: 'brief', keepAliveMillis: 60_000 } as const;
  const server = await startWorkerServer(handler, 1, silent);
  const client = await join(server, silent);
  await within(Promise.all([sessionIs(client, 'left'), channelsAreGone(server)]));
  endOf(server).abort(new RdmaError('ERR_RDMA_ABORTED', 'the program gave up'));
  assert.equal((await within(client.closed, 2000))?.refusal, 'aborted');
  await within(serverIsEmpty(server));
  await server.close();
});

test('a brief lifeline without a look after its peer is refused', async () => {
  await assert.rejects(startServer(echo, { lifeline: 'brief', keepAliveMillis: 0 }), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message:
      "lifeline 'brief' needs keepAliveMillis above 0: without a session nothing else tells that the peer is gone",
  });
});
