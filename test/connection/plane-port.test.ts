/**
 * A data plane behind a message port: a connection works as ever when everything that is said between the two is cloned and
 * comes later.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { StepReporter } from '../../src/connection/common/steps.js';
import { DataPath } from '../../src/connection/data-path/data-path.js';
import { Lifeline } from '../../src/connection/lifeline/lifeline.js';
import type { Rendezvous } from '../../src/connection/lifeline/rendezvous.js';
import { TlsRendezvous } from '../../src/connection/lifeline/tls-rendezvous.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import { Connection } from '../../src/connection/program/connection.js';
import type { Server } from '../../src/connection/server/server.js';
import { recoveryLimits, withDefaults } from '../../src/connection/terms/options.js';
import { ProcessHold } from '../../src/process-hold.js';
import { connectTls } from '../../src/session/tls-client.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { PlanePort } from '../../testkit/plane-port.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { FREE_DEVICE, serverIsEmpty, startServer, testCertificates } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly served: Connection;
  readonly client: Connection;
  readonly device: FragileDevice;
  readonly tcp: TcpCutter;
  readonly port: PlanePort;
}

/** A client whose data plane is behind a port, at a server that does nothing by itself. */
async function startRig(options: Partial<ConnectOptions> = {}): Promise<Rig> {
  const device = await FragileDevice.open(FREE_DEVICE);
  const { encryption } = options;
  const server = await startServer(
    async (connection) => void (await connection.closed),
    encryption === undefined ? {} : { encryption },
  );
  const arrived = once(server, 'connection') as Promise<[Connection]>;
  const tcp = await TcpCutter.to(server.address);
  const { caPem } = await testCertificates();
  const target = { host: '127.0.0.1', port: tcp.port, ca: caPem, cert: undefined, key: undefined };
  const limits = withDefaults({ bufferBytes: 4096, ...options });
  const reporter = new StepReporter(1, undefined);
  const port = new PlanePort(new DataPath(device.device, limits, reporter, false));
  const lifeline: Lifeline = new Lifeline(new TlsRendezvous(await connectTls(target)), {
    dataPath: port.plane,
    reporter,
    limits: recoveryLimits(options),
    nextRendezvous: async (signal): Promise<Rendezvous> => {
      const channel = await connectTls({ ...target, signal, wasAccepted: true });
      channel.send({ type: 'resume', token: lifeline.peerTerms?.resumeToken ?? '' });
      return new TlsRendezvous(channel);
    },
  });
  await lifeline.establish();
  const client = new Connection(1, lifeline, port.plane, limits, { hold: new ProcessHold(false) });
  const [served] = await arrived;
  return {
    server,
    served,
    client,
    device,
    tcp,
    port,
    async [Symbol.asyncDispose]() {
      await client.close();
      port.close();
      await serverIsEmpty(server);
      await server.close();
      await tcp[Symbol.asyncDispose]();
      assert.deepEqual(
        new Set(Object.values(device.device.census())),
        new Set([0]),
        'something was left over',
      );
      await device.device.close();
      assert.deepEqual(port.unanswered, []);
    },
  };
}

const text = (message: { readonly data: Uint8Array } | undefined): string =>
  Buffer.from(message?.data ?? assert.fail('no message')).toString();

for (const [how, options] of [
  ['in clear', {}],
  ['sealed', { encryption: 'aes-256-gcm' }],
] as const) {
  test(`messages, grants, writes and reads pass a data plane behind a port: ${how}`, async () => {
    await using rig = await startRig(options);
    const { client, served } = rig;
    await Promise.all([client.send('one', { tag: 7 }), client.send(Buffer.alloc(100_000, 'x'))]);
    const first = await served.receive();
    assert.deepEqual([text(first), first?.tag], ['one', 7]);
    assert.equal((await served.receive())?.data.length, 100_000);
    await served.send('back');
    assert.equal(text(await client.receive()), 'back');

    const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
    await client.write(remote.at(8), Buffer.from('written'));
    assert.equal(Buffer.from(served.buffer.subarray(8, 15)).toString(), 'written');
    assert.equal(Buffer.from(await client.read(remote.at(8), 7)).toString(), 'written');
    await served.write(served.remoteBuffer ?? assert.fail('the client lends memory'), Buffer.from('lent'));
    assert.equal(Buffer.from(client.buffer.subarray(0, 4)).toString(), 'lent');

    const memory = Buffer.from('granted memory');
    const told: unknown[] = [];
    client.on('granted', ({ id }) => told.push(['granted', id]));
    client.on('revoked', ({ id }, reason) => told.push(['revoked', id, reason]));
    const grant = await client.grant(memory, { read: true, write: true });
    const granted = RemoteBuffer.decode(grant.remote.encode());
    assert.equal(Buffer.from(await served.read(granted)).toString(), 'granted memory');
    await served.write(granted, Buffer.from('changed'));
    assert.equal(memory.toString(), 'changed memory');
    await grant.revoke('enough');
    assert.equal(await grant.ended, 'enough');
    const brief = await client.grant(memory, { read: true, expires: new Date(Date.now() + 50) });
    assert.equal(await brief.ended, 'expired');
    assert.deepEqual(told, [
      ['granted', 1],
      ['revoked', 1, 'enough'],
      ['granted', 2],
      ['revoked', 2, 'expired'],
    ]);
    assert.ok(((await client.queryProgress())?.sent ?? 0) > 0);
    assert.equal(client.queuePair?.state, 'RTS');
  });

  test(`calls are given up through a port: ${how}`, async () => {
    await using rig = await startRig(options);
    const { client, served, device } = rig;
    const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
    const patience = { timeoutMillis: 100 };
    await assert.rejects(client.receive(patience), { code: 'ERR_RDMA_TIMEOUT' });
    await served.send('not lost');
    assert.equal(text(await client.receive()), 'not lost');
    device.isDark = true;
    const data = Buffer.alloc(client.maxMessageBytes, 'd');
    const waiting = new AbortController();
    const begun = client.send(data, patience);
    const behind = Array.from({ length: 3 }, () => client.send('never', { signal: waiting.signal }));
    const write = client.write(remote, Buffer.from('w'), patience);
    const read = client.read(remote, 1, patience);
    waiting.abort();
    const codes = (await Promise.allSettled([begun, ...behind, write, read])).map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as { code: string }).code : outcome.value,
    );
    const never = Array(3).fill('ERR_RDMA_ABORTED');
    assert.deepEqual(codes, [
      'ERR_RDMA_OUTCOME_UNKNOWN',
      ...never,
      'ERR_RDMA_OUTCOME_UNKNOWN',
      'ERR_RDMA_TIMEOUT',
    ]);
    device.isDark = false;
    await client.send('after');
    assert.equal((await served.receive())?.data.length, data.length);
    assert.equal(text(await served.receive()), 'after');
    assert.deepEqual(client.sendQueue.messages, 0);
  });
}

test('send refuses at once what is too much or too long, with the data plane behind a port', async () => {
  await using rig = await startRig({ sendQueueBytes: 20_000 });
  const { client, served, port } = rig;
  const sends = Array.from({ length: 10 }, () => client.send(new Uint8Array(4000)));
  const queued = client.sendQueue;
  assert.deepEqual([queued.messages, queued.bytes, queued.maxBytes], [4, 4 * 4512, 20_000]);
  const outcomes = await Promise.allSettled(sends);
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.deepEqual(new Set(refused.map(({ reason }) => reason.code)), new Set(['ERR_RDMA_QUEUE_FULL']));
  assert.equal(refused.length, 6);
  await assert.rejects(client.send(new Uint8Array(client.maxMessageBytes + 1)), {
    code: 'ERR_RDMA_MESSAGE_TOO_LARGE',
  });
  assert.equal(port.asked.get('send'), 4);
  assert.equal(client.sendQueue.bytes, 0);
  for (let i = 0; i < 4; i++) await served.receive();
});

test('a connection recovers with its data plane behind a port: queue pair, session, both', async () => {
  await using rig = await startRig();
  const { client, served, device, tcp, port } = rig;
  const grant = await client.grant(new Uint8Array(8), { read: true });
  for (const [round, fault] of [
    () => device.failQueuePairs(),
    async () => void tcp.cut(),
    () => {
      tcp.cut();
      return device.failQueuePairs();
    },
  ].entries()) {
    const recovered = recoveryOf(client);
    const reconnecting = once(client, 'reconnecting');
    const sent = [client.send(`before ${round}`), fault(), client.send(`after ${round}`)];
    const [cause] = (await reconnecting) as [{ code: string; stack: string }];
    assert.match(cause.code, /^ERR_RDMA_/);
    await Promise.all([recovered, ...sent]);
    assert.deepEqual(
      [text(await served.receive()), text(await served.receive())],
      [`before ${round}`, `after ${round}`],
    );
  }
  assert.equal(await grant.ended, 'the connection failed');
  assert.equal(client.statistics.recoveries, 3);
  assert.ok((port.told.get('onLinkFailure') ?? 0) > 0);
  assert.ok((port.told.get('onProofSeen') ?? 0) > 0);
});

test('streams pass a data plane behind a port, both ways, with resets, and survive the end of the connection', async () => {
  await using rig = await startRig();
  const { client, served, device } = rig;
  let answered = (): void => {};
  const hasAnswered = new Promise<void>((resolve) => {
    answered = resolve;
  });
  served.on('stream', (stream) => {
    stream.on('error', () => {});
    if (stream.id === -1) stream.pipe(stream);
    else if (stream.id === -2) stream.resume();
    else stream.end('last words', answered);
  });
  const there = client.openStream();
  const read: Buffer[] = [];
  there.on('data', (bytes: Buffer) => void read.push(bytes));
  const ended = once(there, 'end');
  const body = Buffer.alloc(3_000_000, 'stream');
  there.write(body.subarray(0, 1_000_000));
  await device.failQueuePairs();
  there.end(body.subarray(1_000_000));
  await ended;
  assert.ok(Buffer.concat(read).equals(body));
  const reset = client.openStream();
  const failed = once(reset, 'error') as Promise<[Error]>;
  reset.write('x');
  reset.destroy(new Error('enough'));
  assert.equal((await failed)[0].message, 'enough');
  const unread = client.openStream();
  unread.end('a');
  await hasAnswered;
  await client.close();
  let text = '';
  for await (const bytes of unread) text += bytes;
  assert.equal(text, 'last words');
});

test('a beat sends something where nothing is under way, and nothing amid work, whose answers say as much', async () => {
  await using rig = await startRig({ keepAliveMillis: 0 });
  const { client, device, port } = rig;
  const sentByBeat = async (): Promise<number> => {
    const sent = async (): Promise<number> => (await client.queryProgress())?.sent ?? assert.fail();
    const before = await sent();
    await port.plane.beat();
    return (await sent()) - before;
  };
  await client.send('before');
  await port.plane.answered();
  assert.equal(await sentByBeat(), 1);
  await port.plane.answered();
  device.isDark = true;
  const sent = client.send('amid');
  assert.equal(await sentByBeat(), 0);
  device.isDark = false;
  await sent;
});

test('errors cross the port with code, status and cause', async () => {
  await using rig = await startRig();
  const { client, served, device } = rig;
  const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
  await assert.rejects(client.grant(new Uint8Array(8), {}), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  const sent = async (): Promise<number> =>
    (await client.queryProgress())?.sent ?? assert.fail('no queue pair');
  const before = await sent();
  device.isDark = true;
  const written = client.write(remote, new Uint8Array(8));
  while ((await sent()) === before);
  const recovered = recoveryOf(client);
  await device.failQueuePairs();
  device.isDark = false;
  await assert.rejects(written, ({ code, cause }) => {
    assert.equal(code, 'ERR_RDMA_OUTCOME_UNKNOWN');
    assert.ok(cause instanceof RdmaError);
    assert.deepEqual([cause.code, cause.status], ['ERR_RDMA_COMPLETION', 'WR_FLUSH_ERR']);
    return true;
  });
  await recovered;
  const wrong = new RemoteBuffer(remote.addr, (remote.rkey ^ 0x5a5a00) >>> 0, 8);
  await assert.rejects(client.read(wrong, 8, { repeatable: false }), {
    name: 'RdmaError',
    code: 'ERR_RDMA_COMPLETION',
    status: 'REM_ACCESS_ERR',
  });
  await client.send('goes on');
  assert.equal(text(await served.receive()), 'goes on');
});

test('the end comes through a port: the peer quits, and whoever waits learns of it', async () => {
  await using rig = await startRig();
  const { client, served, port } = rig;
  const waiting = client.receive();
  await served.send('last');
  assert.equal(text(await waiting), 'last');
  const end = client.receive();
  await served.close();
  assert.equal(await end, undefined);
  assert.equal(await client.closed, undefined);
  assert.equal(client.queuePair, null);
  assert.ok(port.told.has('onQuit') || port.told.has('onQuitDone'));
});

test('what is no plain data does not pass the port', async () => {
  await using rig = await startRig();
  const { plane } = rig.port;
  const order = { kind: 'read', bytes: new Uint8Array(8), repeatable: true } as const;
  const remote = new RemoteBuffer(0n, 1, 8);
  await assert.rejects(plane.transfer(1000, { ...order, remote }), /an instance of RemoteBuffer crosses/);
  const range = { addr: 0n, rkey: remote.rkey, length: 8, toString: () => 'a function' };
  await assert.rejects(plane.transfer(1001, { ...order, remote: range }), /a function crosses/);
});
