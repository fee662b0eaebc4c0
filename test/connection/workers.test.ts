/**
 * Servers whose connections are served in worker threads: real threads, each with a device of its own, and clients that notice
 * nothing of it, until a worker dies.
 */
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { Grant } from '../../src/connection/program/grant.js';
import type { OperationNote } from '../../src/connection/program/operation-watch.js';
import type { Server } from '../../src/connection/server/server.js';
import type { ServerEvents } from '../../src/connection/server/server-events.js';
import { watch } from '../../src/observe/watching.js';
import { openDevice } from '../../src/open-device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { FREE_DEVICE, serverIsEmpty } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';
import { within } from '../../testkit/within.js';
import { join, startWorkerServer } from '../../testkit/worker-server.js';

/** How long what must come may take. */
const PATIENCE_MILLIS = 10_000;
const HANDLER = new URL('../../testkit/worker-handler.js', import.meta.url);

const startWorkers = (workers: number, options: Partial<ListenOptions> = {}): Promise<Server> =>
  startWorkerServer(HANDLER, workers, options);

const ask = async (connection: Connection, order: string): Promise<string> => {
  await connection.send(order);
  return Buffer.from((await connection.receive())?.data ?? assert.fail('no answer')).toString();
};

const threadOf = async (connection: Connection): Promise<number> => {
  await connection.send('echo');
  return (await connection.receive())?.tag ?? assert.fail('no answer');
};

/** The test's own timeout bounds it. */
async function workersAreReady(server: Server): Promise<void> {
  while (server.workers.some(({ device }) => device === null))
    await new Promise((resolve) => setTimeout(resolve, 5));
}

for (const workers of [0, 2]) {
  test(`a handler module serves the same with ${workers} workers`, async () => {
    const server = await startWorkers(workers, { bufferBytes: 64 });
    const clients = await Promise.all(Array.from({ length: 4 }, () => join(server)));
    for (const client of clients) {
      assert.equal(await ask(client, 'hello'), 'hello');
      assert.equal((await ask(client, 'x'.repeat(200_000))).length, 200_000);
    }
    assert.equal(server.connections.size, 4);
    const threads = new Set(await Promise.all(clients.map(threadOf)));
    assert.equal(threads.size, Math.max(1, workers));
    assert.equal(threads.has(0), workers === 0);
    await Promise.all(clients.map((client) => client.close()));
    await serverIsEmpty(server);
    assert.equal(server.connections.size, 0);
    await server.close();
  });
}

test('a worker knows of its connection what the main thread knows', async () => {
  const server = await startWorkers(1);
  const client = await join(server);
  const told = JSON.parse(await ask(client, 'who am I')) as Record<string, unknown>;
  const [connection] = server.connections;
  assert.deepEqual(told, {
    id: 1,
    peer: null,
    remotePort: client.localPort,
    isEncrypted: false,
    statistics: {
      messagesSent: 0,
      messagesReceived: 1,
      bytesSent: 0,
      bytesReceived: 8,
      writes: 0,
      reads: 0,
      recoveries: 0,
    },
    queuePair: connection?.queuePair,
  });
  assert.notEqual(await connection?.queryProgress(), null);
  assert.ok((await connection?.queryCounters())?.['rxPackets'] !== undefined);
  await assert.rejects(connection?.send('from here') ?? assert.fail(), { code: 'ERR_RDMA_INVALID_STATE' });
  const ended = once(server, 'disconnection') as Promise<ServerEvents['disconnection']>;
  await client.close();
  const [gone] = await ended;
  assert.equal(gone.statistics.messagesReceived, 1);
  await server.close();
});

for (const encryption of [undefined, 'aes-256-gcm'] as const) {
  const how = encryption === undefined ? 'in clear' : 'sealed';
  test(`one-sided access, grants and streams reach into a worker: ${how}`, async () => {
    const server = await startWorkers(1, { bufferBytes: 64, ...(encryption && { encryption }) });
    const client = await join(server);
    assert.equal(client.isEncrypted, encryption !== undefined);
    const lent = client.remoteBuffer ?? assert.fail('the server lends memory');
    await client.write(lent, Buffer.from('from the client!'));
    assert.equal(await ask(client, 'what is lent'), 'from the client!');
    const [connection] = server.connections;
    assert.equal(Buffer.from(connection?.buffer.subarray(0, 4) ?? []).toString(), 'from');
    assert.equal(await ask(client, 'write to me'), 'done');
    assert.equal(Buffer.from(client.buffer.subarray(0, 15)).toString(), 'from the worker');

    const notes: unknown[] = [];
    connection?.on('granted', ({ remote }) => notes.push(['granted', remote.length]));
    const revoked = new Promise<void>((resolve) => {
      connection?.on('revoked', (_, reason) => resolve(void notes.push(['revoked', reason])));
    });
    await client.send('grant');
    const granted = RemoteBuffer.decode((await client.receive())?.data ?? assert.fail());
    assert.deepEqual(await client.read(granted, 2), new Uint8Array([5, 5]));
    await client.write(granted, new Uint8Array([7]));
    await client.send('go on');
    assert.equal((await client.receive())?.data[0], 7);
    assert.equal(Buffer.from((await client.receive())?.data ?? []).toString(), 'revoked');
    await revoked;
    assert.deepEqual(notes, [
      ['granted', 64],
      ['revoked', 'enough'],
    ]);

    const stream = client.openStream();
    stream.end('up and down');
    assert.equal(await text(stream), 'up and down');
    await client.close();
    await server.close();
  });
}

test('a handler in a worker that fails is told of in the main thread, with class and stack', async () => {
  const server = await startWorkers(1);
  const client = await join(server, { recoveryMillis: 0 });
  const told = once(server, 'handlerError') as Promise<ServerEvents['handlerError']>;
  await client.send('throw it');
  const [connection, error] = await told;
  assert.equal(connection.id, 1);
  assert.ok(error instanceof Error);
  assert.deepEqual([error.name, error.message], ['TypeError', 'the handler has a bug']);
  assert.match(error.stack ?? '', /worker-handler/);
  assert.equal((await client.closed)?.code, 'ERR_RDMA_REFUSED');
  await server.close();
});

for (const [order, why] of [
  ['die of it', /nobody catches this/],
  ['exit', /exited with the code 7/],
] as const) {
  test(`a worker that dies of "${order}" takes its own connections with it, and is replaced`, async () => {
    const server = await startWorkers(2);
    const clients = [await join(server), await join(server), await join(server)];
    const [first] = clients as [Connection];
    const threads = await Promise.all(clients.map(threadOf));
    const dying = clients.filter((_, i) => threads[i] === threads[0]);
    const others = clients.filter((client) => !dying.includes(client));
    assert.ok(others.length > 0);
    const lost = once(server, 'workerLost') as Promise<ServerEvents['workerLost']>;
    const ended = once(server, 'disconnection') as Promise<ServerEvents['disconnection']>;
    await first.send(order).catch(() => {});
    const [loss] = await lost;
    assert.equal(loss.connections, dying.length);
    assert.match(loss.error.message, why);
    for (const client of dying) {
      const error = await client.closed;
      assert.deepEqual([error?.code, error?.refusal, error?.retryable], ['ERR_RDMA_REFUSED', 'worker', true]);
    }
    assert.equal((await ended)[1]?.refusal, 'worker');
    for (const client of others) assert.equal(await ask(client, 'still here'), 'still here');
    await workersAreReady(server);
    const again = await join(server);
    assert.equal(await ask(again, 'hello'), 'hello');
    assert.notEqual(await threadOf(again), threads[0]);
    const { workers } = server;
    assert.equal(workers[loss.worker - 1]?.losses, 1);
    assert.equal(
      workers.reduce((sum, { losses }) => sum + losses, 0),
      1,
    );
    await Promise.all([...others, again].map((client) => client.close()));
    await serverIsEmpty(server);
    await server.close();
  });
}

test('grants of a worker that dies are over in the main thread as well', async (t) => {
  const server = await startWorkers(1);
  t.after(() => server.close());
  const [client, other] = [await join(server), await join(server)];
  const [connection] = server.connections;
  assert.ok(connection !== undefined);
  const revoked: string[] = [];
  connection.on('revoked', (_, reason) => revoked.push(reason));
  const granted = once(connection, 'granted');
  await client.send('grant');
  const [grant] = (await granted) as [Grant];
  await other.send('exit').catch(() => {});
  await connection.closed;
  assert.deepEqual(revoked, ['the worker has died']);
  assert.equal(await grant.ended, 'the worker has died');
  await grant.revoke();
  await Promise.all([client.closed, other.closed]);
});

test('a client that comes while no worker runs waits for one', async () => {
  const server = await startWorkers(1);
  const first = await join(server);
  const lost = once(server, 'workerLost');
  await first.send('exit').catch(() => {});
  await lost;
  assert.equal(server.workers[0]?.device, null);
  const second = await join(server);
  assert.equal(await ask(second, 'hello'), 'hello');
  await second.close();
  await server.close();
});

test('options that do not go with workers are refused in one sentence', async () => {
  const refused = (options: Partial<ListenOptions>, message: RegExp): Promise<void> =>
    assert.rejects(startWorkers(2, options), { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
  await refused({ handler: () => undefined }, /with workers, handler must be the URL of a module/);
  const device = await openDevice(FREE_DEVICE);
  await refused({ device }, /with workers, device must be a name/);
  await device.close();
  await refused({ workers: -1 }, /workers must be an integer/);
});

test('a connection recovers in its worker: nothing is lost or doubled, whatever fails', async () => {
  const server = await startWorkers(2);
  const tcp = await TcpCutter.to(server.address);
  const client = await join(server, { port: tcp.port });
  const thread = await threadOf(client);
  const notes: string[] = [];
  const [connection] = server.connections;
  connection?.on('reconnecting', () => notes.push('reconnecting'));
  connection?.on('reconnected', () => notes.push('reconnected'));
  const stream = client.openStream();
  for (const round of [1, 2, 3]) {
    const recovered = recoveryOf(client);
    stream.write(`round ${round} `);
    const sends = Array.from({ length: 20 }, (_, i) => client.send(`${round}:${i}`));
    tcp.cut();
    await Promise.all(sends);
    await recovered;
    for (let i = 0; i < 20; i++) {
      const message = await client.receive();
      assert.equal(Buffer.from(message?.data ?? []).toString(), `${round}:${i}`);
      assert.equal(message?.tag, thread);
    }
  }
  assert.deepEqual(notes, Array(3).fill(['reconnecting', 'reconnected']).flat());
  stream.end();
  assert.equal(await text(stream), 'round 1 round 2 round 3 ');
  assert.equal(JSON.parse(await ask(client, 'who am I')).statistics.recoveries, 3);
  assert.equal(connection?.statistics.recoveries, 3);
  await client.close();
  await serverIsEmpty(server);
  await server.close();
  await tcp[Symbol.asyncDispose]();
});

test('a server that closes lets its workers answer what has arrived', async () => {
  const server = await startWorkers(2);
  const clients = await Promise.all([join(server), join(server), join(server)]);
  for (const client of clients) {
    await client.send('be slow');
    await client.send('last words');
  }
  const closing = server.close();
  for (const client of clients) {
    assert.equal(Buffer.from((await client.receive())?.data ?? []).toString(), 'last words');
    assert.equal(await client.closed, undefined);
  }
  await closing;
  assert.equal(
    Object.values(server.census()).reduce((sum, count) => sum + count),
    0,
  );
});

test('a worker that is stuck holds up its own connections, and a server that closes not for ever', async () => {
  const server = await startWorkers(2);
  const [stuck, free] = [await join(server), await join(server)];
  await stuck.send('be busy for ever');
  for (let i = 0; i < 3; i++) assert.equal(await ask(free, 'hello'), 'hello');
  const warned = once(server, 'workerLost') as Promise<ServerEvents['workerLost']>;
  const closing = server.close(500);
  const [loss] = await warned;
  assert.match(loss.error.message, /it did not end in time/);
  assert.equal(loss.restartMillis, null);
  await closing;
  assert.notEqual(await stuck.closed, undefined);
  await free.closed;
});

test('a worker that is stuck gets no clients while another one turns', async (t) => {
  const server = await startWorkers(2);
  t.after(() => server.close(500));
  server.on('workerLost', () => {});
  const clients = [await join(server), await join(server), await join(server)];
  const threads: (number | undefined)[] = [];
  for (const client of clients) {
    await client.send('hello');
    threads.push((await client.receive())?.tag);
  }
  // It is alone in its worker, which has the fewest connections from now on.
  const alone = clients.find((_, i) => threads.indexOf(threads[i]) === threads.lastIndexOf(threads[i]));
  const worker = () => server.workers.find(({ connections }) => connections === 1);
  assert.ok((worker()?.silentMillis ?? 0) < 2000);
  await alone?.send('be busy for ever');
  const isStuck = async (): Promise<void> => {
    while ((worker()?.silentMillis ?? 0) < 2100) await new Promise((look) => setTimeout(look, 50));
  };
  await within(isStuck(), 20_000);
  for (let i = 0; i < 3; i++) {
    const next = await within(join(server), 20_000);
    assert.equal(await ask(next, 'hello'), 'hello');
  }
  assert.notEqual(worker(), undefined, 'it has the one that it had');
});

test('a handler module that cannot serve is refused before anything listens', async () => {
  const refused = (handler: URL, message: RegExp): Promise<void> =>
    assert.rejects(startWorkers(2, { handler }), (error: RdmaError) => {
      assert.ok(error instanceof RdmaError);
      assert.equal(error.code, 'ERR_RDMA_INVALID_ARGUMENT');
      assert.match(error.message, message);
      return true;
    });
  await refused(new URL('./there-is-none.js', import.meta.url), /cannot be loaded/);
  // One that keeps its thread busy as well.
  const module = new URL("data:text/javascript,setInterval(() => {}, 1000); export default 'no function'");
  await refused(module, /must export a function as its default, not this text/);
});

test('operations of handlers in workers are told in the main thread while somebody asks there, by its clock', async () => {
  const server = await startWorkers(2, { bufferBytes: 64 });
  const { host, port } = server.address;
  const clients = [await join(server), await join(server)];
  // Nobody asks yet.
  for (const client of clients) assert.equal(await ask(client, 'before'), 'before');
  const told: OperationNote[] = [];
  const stop = watch('queuepair:operation', (note) => told.push(note));
  const began = performance.now();
  const mine = (): OperationNote[] => told.filter(({ side }) => side === 'server');
  // From the next report of each worker on.
  const hasAll = (): boolean => new Set(mine().map(({ connection }) => connection)).size === 2;
  while (!hasAll()) {
    assert.ok(performance.now() < began + PATIENCE_MILLIS, 'a worker was never asked for its operations');
    for (const client of clients) await ask(client, 'more');
  }
  assert.equal(await ask(clients[0] as Connection, 'write to me'), 'done');
  while (!mine().some(({ kind }) => kind === 'write')) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const { server: where, kind, bytes, startedAtMillis, durationMillis, error } of mine()) {
    assert.equal(where, `${host}:${port}`);
    assert.ok(kind === 'send' || kind === 'write');
    assert.equal(bytes, kind === 'write' ? 'from the worker'.length : bytes);
    assert.equal(error, null);
    assert.ok(startedAtMillis >= began - 1000 && startedAtMillis + durationMillis <= performance.now() + 1);
  }
  stop();
  // The workers learn of it with what they tell next; then nothing is told any more.
  for (const client of clients) await client.close();
  await serverIsEmpty(server);
  await server.close();
  assert.equal(channel('queuepair:operation').hasSubscribers, false);
});
