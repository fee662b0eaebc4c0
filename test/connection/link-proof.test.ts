/** A connection is up when packets have come through in both directions, and not when the session says so. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LinkProof } from '../../src/connection/link/link-proof.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { Server } from '../../src/connection/server/server.js';
import { establishSession } from '../../src/session/establish-session.js';
import type { TlsRefusal } from '../../src/session/tls-refusal.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { openChannel } from '../../testkit/raw-client.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { sessionParameters } from '../../testkit/session-parameters.js';

/** 34 ms until a queue pair gives up. */
const HASTY = { timeout: 10, retryCount: 7 } as const;
/** Longer than any deadline of a handshake. */
const PATIENT = { timeout: 20, retryCount: 7 } as const;
const SENTENCE =
  /^TCP (to|from) 127\.0\.0\.1:\d+ works, but UDP ports? \d+.* not come through( (to|from) the (server|client))?: open (it|them) in (both directions|that direction)$/;

interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly serverDevice: FragileDevice;
  readonly clientDevice: FragileDevice;
  readonly refusals: TlsRefusal[];
  readonly handled: Connection[];
  connect(options?: ConnectOptions): Promise<Connection>;
}

async function startRig(options: Pick<ConnectOptions, 'path' | 'handshakeDeadlineMillis'>): Promise<Rig> {
  const serverDevice = await FragileDevice.open(FREE_DEVICE);
  const clientDevice = await FragileDevice.open(FREE_DEVICE);
  const handled: Connection[] = [];
  const refusals: TlsRefusal[] = [];
  const handler = async (connection: Connection): Promise<void> => {
    handled.push(connection);
    for await (const { data } of connection) await connection.send(data);
  };
  const server = await startServer(handler, { device: serverDevice.device, recoveryMillis: 400, ...options });
  server.on('refused', (refusal) => refusals.push(refusal));
  return {
    server,
    serverDevice,
    clientDevice,
    refusals,
    handled,
    connect: (more = {}) =>
      connectTo(server, { device: clientDevice.device, recoveryMillis: 400, ...options, ...more }),
    async [Symbol.asyncDispose]() {
      await server.close();
      for (const device of [serverDevice, clientDevice]) await device.closeEmpty();
    },
  };
}

const BLOCKS: readonly [string, (rig: Rig) => void][] = [
  [
    'in both directions',
    ({ serverDevice }) => {
      serverDevice.isDark = true;
    },
  ],
  [
    'from the client to the server',
    ({ serverDevice }) => {
      serverDevice.loss = 1;
    },
  ],
  [
    'from the server to the client',
    ({ clientDevice }) => {
      clientDevice.loss = 1;
    },
  ],
];

for (const [where, block] of BLOCKS) {
  for (const [who, path] of [
    ['the queue pairs give up', HASTY],
    ['the deadline passes', PATIENT],
  ] as const) {
    test(`UDP that is blocked ${where}: ${who}, and both ends say what is wrong`, async () => {
      // Where the queue pairs should say it, the deadline does not help.
      const handshakeDeadlineMillis = path === HASTY ? 10_000 : 500;
      await using rig = await startRig({ path, handshakeDeadlineMillis });
      block(rig);
      const start = performance.now();
      await assert.rejects(rig.connect(), (error) => {
        assert.ok(error instanceof RdmaError);
        assert.equal(error.code, 'ERR_RDMA_UNREACHABLE');
        assert.equal(error.fault, 'network');
        assert.match(error.message, SENTENCE);
        return true;
      });
      assert.ok(performance.now() - start < 5000, 'it took as long as the deadline');
      await serverIsEmpty(rig.server);
      assert.equal(rig.handled.length, 0, 'the handler never saw it');
      assert.deepEqual(
        rig.refusals.map(({ kind }) => kind),
        ['unreachable'],
      );
      assert.match(rig.refusals[0]?.reason ?? '', SENTENCE);
    });
  }
}

for (const [where, block] of BLOCKS) {
  test(`UDP that is blocked later ${where} ends the connection by one recovery, with its first cause`, async () => {
    await using rig = await startRig({ path: HASTY });
    const client = await rig.connect();
    let recoveries = 0;
    client.on('reconnected', () => recoveries++);
    await client.send('before');
    assert.equal(String(Buffer.from((await client.receive())?.data ?? [])), 'before');
    block(rig);
    const [[first]] = await Promise.all([once(client, 'reconnecting'), client.send('lost').catch(() => {})]);
    const error = await client.closed;
    assert.equal(recoveries, 0, 'nothing was up again');
    assert.ok(error instanceof RdmaError && first instanceof RdmaError);
    assert.match(error.message, /\(the trouble began with: /);
    assert.equal(error.cause, first);
    assert.equal(error.code, 'ERR_RDMA_UNREACHABLE');
  });
}

test('a peer that is let in, and whose packets do not come through, is told what to open', async () => {
  await using server = await startServer(undefined, { path: HASTY, recoveryMillis: 400 });
  const channel = await openChannel(server);
  const { path, terms } = sessionParameters('127.0.0.1');
  await establishSession(channel, {
    createObjects: async () => ({ path: { ...path, udpPort: 9 }, terms }),
    transition: async () => {},
  });
  await assert.rejects(channel.receive(), {
    code: 'ERR_RDMA_REFUSED',
    refusal: 'unreachable',
    message: /: TCP from 127\.0\.0\.1:\d+ works, but UDP ports \d+ here and 9 there do not come through/,
  });
  await channel.closed;
});

test('UDP that comes back within the time for recovery brings the connection up again', async () => {
  await using rig = await startRig({ path: HASTY });
  const client = await rig.connect({ recoveryMillis: 5000 });
  rig.serverDevice.isDark = true;
  const sent = client.send('late');
  await once(client, 'reconnecting');
  rig.serverDevice.isDark = false;
  await sent;
  assert.equal(String(Buffer.from((await client.receive())?.data ?? [])), 'late');
  await client.close();
});

for (const [who, path] of [
  ['the queue pairs give up', HASTY],
  ['the deadline passes', PATIENT],
] as const) {
  test(`a path that loses large packets: ${who}, and both ends say of which size, and what to lower`, async () => {
    await using rig = await startRig({ path, handshakeDeadlineMillis: 500 });
    for (const device of [rig.serverDevice, rig.clientDevice]) device.longestBytes = 1200;
    const sentence =
      /^TCP (to|from) 127\.0\.0\.1:\d+ works, and small UDP packets come through, but those that carry 4096 bytes do not: lower path\.mtu \(--path-mtu\)/;
    await assert.rejects(rig.connect(), { code: 'ERR_RDMA_UNREACHABLE', message: sentence });
    await serverIsEmpty(rig.server);
    assert.equal(rig.handled.length, 0, 'the handler never saw it');
    assert.match(rig.refusals[0]?.reason ?? '', sentence);
    for (const encryption of [undefined, 'aes-256-gcm'] as const) {
      const options = { path: { ...path, mtu: 1024 as const } };
      const client = await rig.connect(encryption === undefined ? options : { ...options, encryption });
      await client.send(new Uint8Array(100_000));
      assert.equal((await client.receive())?.data.length, 100_000);
      await client.close();
    }
  });
}

for (const from of ['client', 'server'] as const) {
  const to = from === 'client' ? 'server' : 'client';
  for (const [who, path] of [
    ['the queue pair gives up', HASTY],
    ['the deadline passes', PATIENT],
  ] as const) {
    test(`a path that loses large packets from the ${from} only: ${who}, nothing is up, and both ends name the direction`, async () => {
      await using rig = await startRig({ path, handshakeDeadlineMillis: 500 });
      const device = from === 'client' ? rig.serverDevice : rig.clientDevice;
      device.longestBytes = 1200;
      const told = (direction: string): RegExp =>
        new RegExp(
          `small UDP packets come through, but those that carry 4096 bytes do not ${direction}: lower`,
        );
      const ofClient = from === 'client' ? 'to the server' : 'from the server';
      const ofServer = from === 'client' ? 'from the client' : 'to the client';
      await assert.rejects(rig.connect(), { code: 'ERR_RDMA_UNREACHABLE', message: told(ofClient) });
      await serverIsEmpty(rig.server);
      assert.equal(rig.handled.length, 0, `the handler saw it, although large packets to the ${to} are lost`);
      assert.deepEqual(
        rig.refusals.map(({ kind }) => kind),
        ['unreachable'],
      );
      assert.match(rig.refusals[0]?.reason ?? '', told(ofServer));
    });
  }
}

test('a path that comes to lose large packets does not keep a connection in recovery for ever', async () => {
  await using rig = await startRig({ path: HASTY });
  const client = await rig.connect();
  rig.serverDevice.longestBytes = 200;
  const sent = client.send(new Uint8Array(1000)).catch((error: unknown) => error);
  const late = new AbortController();
  const outcome = await Promise.race([client.closed, delay(8000, 'it goes on', { signal: late.signal })]);
  late.abort();
  // Otherwise a connection that goes on would never end.
  rig.serverDevice.longestBytes = Number.POSITIVE_INFINITY;
  assert.ok(outcome instanceof RdmaError, String(outcome));
  const unsent = (await sent) as RdmaError;
  // A part of it was in the network.
  assert.equal(unsent.code, 'ERR_RDMA_OUTCOME_UNKNOWN');
  assert.equal(unsent.cause, outcome);
});

test('a client that sends all it has and quits at once is served', async () => {
  await using rig = await startRig({ path: HASTY });
  for (let round = 0; round < 20; round++) {
    const client = await rig.connect();
    await client.send(`${round}`);
    await client.close();
  }
  await serverIsEmpty(rig.server);
  assert.equal(rig.handled.length, 20);
  assert.deepEqual(
    rig.handled.map(({ statistics }) => statistics.messagesReceived),
    Array.from({ length: 20 }, () => 1),
  );
});

test('a link is proven when the peer has both messages, and the first two from the peer are its part of that', async () => {
  const proof = new LinkProof();
  assert.deepEqual([proof.onArrived(), proof.onArrived(), proof.onArrived()], [false, false, true]);
  const seen: unknown[] = [];
  const done = proof.done((now) => seen.push(now));
  proof.onDone(undefined);
  assert.equal(proof.isProven, false, 'a small packet came through');
  proof.onDone(undefined);
  await done;
  assert.equal(proof.isProven, true);
  assert.deepEqual(
    seen,
    [0, 1, 2].map((sent) => ({ sent, arrived: 2 })),
  );
  proof.fail(new RdmaError('ERR_RDMA_CLOSED', 'too late'));
  await proof.done(() => {});
});

test('a proof fails with its first reason, also when nobody waits for it', async () => {
  const reason = new RdmaError('ERR_RDMA_COMPLETION', 'nothing came back');
  const [message, link] = [new LinkProof(), new LinkProof()];
  message.onDone(reason);
  link.fail(reason);
  // An unhandled rejection would fail the test here.
  await new Promise(setImmediate);
  for (const proof of [message, link]) {
    assert.equal(proof.isProven, false);
    proof.fail(new RdmaError('ERR_RDMA_CLOSED', 'later'));
    const outcome = await Promise.race([
      proof.done(() => {}).catch((error: unknown) => error),
      new Promise((resolve) => setImmediate(resolve, 'it still waits')),
    ]);
    assert.equal(outcome, reason);
  }
});
