/** Connections whose queue pair, network or session fails go on without losing, doubling or reordering a message. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { type FragilePair, startFragilePair } from '../../testkit/fragile-pair.js';
import { type ClientIdentity, openChannel, RawClient } from '../../testkit/raw-client.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

const MESSAGES = 300;
const FAULT_EVERY = 60;

/** Echoes numbered messages of mixed sizes while `fault` strikes again and again; all must come back in order. */
async function echoThroughFaults(
  rig: FragilePair,
  fault: (rig: FragilePair) => Promise<unknown>,
): Promise<void> {
  const client = new ServiceClient(rig.client);
  await client.welcome();
  const received = (async () => {
    for (let i = 0; i < MESSAGES; i++) {
      const message = await rig.client.receive();
      assert.equal(Buffer.from(message?.data ?? []).readUInt32BE(0), i, 'echoes come in order, once');
      if (i % FAULT_EVERY !== FAULT_EVERY - 1) continue;
      // The next fault shall meet a connection that is up: one amid a recovery makes no further recovery.
      const recovered = recoveryOf(rig.client);
      await fault(rig);
      await recovered;
    }
  })();
  for (let i = 0; i < MESSAGES; i++) {
    const data = Buffer.alloc(4 + ((i * 7919) % 40_000));
    data.writeUInt32BE(i, 0);
    await rig.client.send(data);
  }
  await received;
  const { recoveries } = rig.client.statistics;
  assert.ok(recoveries >= MESSAGES / FAULT_EVERY, `${recoveries} recoveries`);
}

const FAULTS: readonly [string, (rig: FragilePair) => Promise<unknown>][] = [
  ["the client's queue pair fails", ({ clientDevice }) => clientDevice.failQueuePairs()],
  ["the server's queue pair fails", ({ serverDevice }) => serverDevice.failQueuePairs()],
  [
    'both queue pairs fail at once',
    ({ clientDevice, serverDevice }) =>
      Promise.all([clientDevice.failQueuePairs(), serverDevice.failQueuePairs()]),
  ],
  [
    'the session is cut',
    async ({ tcp, client }) => {
      // The link goes on while the cut is not noticed: all messages may pass before the next one.
      const isBack = recoveryOf(client);
      tcp.cut();
      await isBack;
    },
  ],
  [
    'session and queue pair fail at once',
    async ({ tcp, clientDevice }) => {
      tcp.cut();
      await clientDevice.failQueuePairs();
    },
  ],
  [
    'the session is cut twice in a row',
    async ({ tcp }) => {
      tcp.cut();
      // The client comes back, perhaps before it has noticed everything; its next session is cut too.
      while (tcp.cut() === 0) await new Promise((resolve) => setImmediate(resolve));
    },
  ],
];

for (const [what, fault] of FAULTS) {
  test(`every message arrives once and in order although ${what}`, async () => {
    await using rig = await startFragilePair();
    await echoThroughFaults(rig, fault);
  });
}

test('a grant that a failure of its link forestalls leaves nothing behind', async () => {
  await using rig = await startFragilePair();
  await new ServiceClient(rig.client).welcome();
  const { device } = rig.clientDevice;
  const before = device.census();
  const reconnected = recoveryOf(rig.client);
  const refused = assert.rejects(rig.client.grant(new Uint8Array(100), { read: true }), {
    code: 'ERR_RDMA_CONNECTION_LOST',
  });
  // The window is not bound yet: registering memory takes a turn.
  await rig.clientDevice.failQueuePairs();
  await refused;
  await reconnected;
  assert.deepEqual(device.census(), before);
});

const RELAPSES = 20;

for (const [whose, failPeer] of [
  ["client's", ({ serverDevice }: FragilePair) => serverDevice.failQueuePairs()],
  ["server's", ({ clientDevice }: FragilePair) => clientDevice.failQueuePairs()],
] as const) {
  test(`a queue pair that fails as soon as the ${whose} end is up again is replaced by one recovery`, async () => {
    const ends: Connection[] = [];
    await using rig = await startFragilePair(async (connection) => {
      ends.push(connection);
      for await (const { data } of connection) await connection.send(data);
    });
    await rig.client.send('hello');
    assert.equal(Buffer.from((await rig.client.receive())?.data ?? []).toString(), 'hello');
    const watched = whose === "client's" ? rig.client : (ends[0] as Connection);
    const relapsed = new Promise<void>((resolve, reject) => {
      let relapses = 0;
      watched.on('reconnected', () => {
        if (++relapses === RELAPSES) resolve();
        else void failPeer(rig);
      });
      watched.on('closed', (error) => reject(error ?? new Error('the connection ended')));
    });
    relapsed.catch(() => undefined);
    await failPeer(rig);
    await relapsed;
    await rig.client.send('and on');
    assert.equal(Buffer.from((await rig.client.receive())?.data ?? []).toString(), 'and on');
  });
}

test('messages that neither program takes do not pile up over recoveries, and all arrive when they are taken', async () => {
  const small = { receiveSlots: 4, slotBytes: 256 };
  const count = 200;
  let serverEnd: Connection | undefined;
  let letGo = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let delivered = 0;
  const sendAll = (connection: Connection): Promise<void>[] =>
    Array.from({ length: count }, (_, i) =>
      connection.send(Uint8Array.of(i)).then(() => {
        delivered++;
      }),
    );
  await using rig = await startFragilePair(
    async (connection) => {
      serverEnd = connection;
      await waiting;
      await connection.closed;
    },
    small,
    small,
  );
  while (serverEnd === undefined) await new Promise((resolve) => setImmediate(resolve));
  const ends = [rig.client, serverEnd as Connection];
  const remote = rig.client.remoteBuffer as RemoteBuffer;
  const sent = ends.flatMap(sendAll);
  for (let recovery = 0; recovery < 20; recovery++) {
    const reconnected = recoveryOf(rig.client);
    await rig.clientDevice.failQueuePairs();
    await reconnected;
    // What may be sent now is sent before this write.
    await rig.client.write(remote, Uint8Array.of(recovery), { repeatable: true });
  }
  // Of each end: what fits below the mark with its headers, and one set of receives.
  assert.ok(delivered <= 2 * ((4 * 256) / 25 + 1 + 4), `${delivered} messages were taken in`);
  for (const connection of ends) {
    for (let i = 0; i < count; i++) assert.deepEqual([...((await connection.receive())?.data ?? [])], [i]);
  }
  await Promise.all(sent);
  letGo();
});

test('a connection recovers from a network that is dark for longer than its retries last', async () => {
  await using rig = await startFragilePair(undefined, {}, { recoveryMillis: 20_000 });
  const client = new ServiceClient(rig.client);
  await client.welcome();
  const reconnecting = once(rig.client, 'reconnecting');
  rig.clientDevice.isDark = true;
  const echo = client.echo('through the dark');
  const [cause] = await reconnecting;
  assert.equal(cause.status, 'RETRY_EXC_ERR');
  rig.clientDevice.isDark = false;
  assert.equal(Buffer.from(await echo).toString(), 'through the dark');
});

test('a refused write is rejected with its status, and the connection goes on', async () => {
  await using rig = await startFragilePair();
  const client = new ServiceClient(rig.client);
  await client.welcome();
  const remote = rig.client.remoteBuffer as RemoteBuffer;
  const forged = new RemoteBuffer(remote.addr, (remote.rkey ^ 1) >>> 0, remote.length);
  await assert.rejects(rig.client.write(forged, randomBytes(10)), {
    code: 'ERR_RDMA_COMPLETION',
    status: 'REM_ACCESS_ERR',
  });
  assert.equal(Buffer.from(await client.echo('still here')).toString(), 'still here');
  const data = randomBytes(1000);
  await client.write(data);
  assert.deepEqual(
    Buffer.from(await client.read(0, 1000)),
    data,
    'the keys that the peer was given stay valid',
  );
});

test('a write without an answer rejects as unknown; one that may be repeated, and a read, go on', async () => {
  await using rig = await startFragilePair();
  await new ServiceClient(rig.client).welcome();
  const remote = (rig.client.remoteBuffer as RemoteBuffer).at(0, 100);
  const first = randomBytes(100);
  await rig.client.write(remote, first);
  rig.clientDevice.isDark = true;
  const single = rig.client.write(remote, randomBytes(100));
  const read = rig.client.read(remote);
  const repeatable = rig.client.write(remote, first, { repeatable: true });
  const unknown = assert.rejects(single, { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  // Posting takes a turn: the registrations are asynchronous.
  await new Promise((resolve) => setImmediate(resolve));
  await rig.clientDevice.failQueuePairs();
  await unknown;
  rig.clientDevice.isDark = false;
  await repeatable;
  assert.deepEqual(Buffer.from(await read), first);
});

test('the one-sided operation that the retries ended with is as unknown as those behind it', async () => {
  await using rig = await startFragilePair(undefined, {}, { recoveryMillis: 20_000 });
  await new ServiceClient(rig.client).welcome();
  const remote = (rig.client.remoteBuffer as RemoteBuffer).at(0, 100);
  const bytes = randomBytes(100);
  for (const repeatable of [true, false]) {
    const reconnecting = once(rig.client, 'reconnecting');
    const reconnected = recoveryOf(rig.client);
    rig.clientDevice.isDark = true;
    const outcome = rig.client.write(remote, bytes, { repeatable }).then(
      () => 'carried out',
      (error) => error.code,
    );
    const [cause] = await reconnecting;
    assert.equal(cause.status, 'RETRY_EXC_ERR');
    rig.clientDevice.isDark = false;
    assert.equal(await outcome, repeatable ? 'carried out' : 'ERR_RDMA_OUTCOME_UNKNOWN');
    await reconnected;
  }
  assert.deepEqual(Buffer.from(await rig.client.read(remote)), bytes);
});

test('what was sent before close arrives, although the session is cut meanwhile', async () => {
  const received: number[] = [];
  const rig = await startFragilePair(async (connection) => {
    for await (const message of connection) received.push(Buffer.from(message.data).readUInt32BE(0));
  });
  const sent = Array.from({ length: 200 }, (_, i) => {
    const data = Buffer.alloc(10_000);
    data.writeUInt32BE(i, 0);
    return rig.client.send(data);
  });
  rig.tcp.cut();
  await rig.client.close();
  await Promise.all(sent);
  assert.deepEqual(
    received,
    sent.map((_, i) => i),
  );
  await rig[Symbol.asyncDispose]();
});

test('when recovery takes too long, the connection ends with the reason and frees everything', async () => {
  const limits = { recoveryMillis: 200 };
  await using rig = await startFragilePair(undefined, limits, limits);
  const serverEnd = once(rig.server, 'disconnection');
  rig.tcp.refuses = true;
  rig.tcp.cut();
  const error = await rig.client.closed;
  assert.match(`${error?.code}`, /ERR_RDMA_(CONNECTION_LOST|TIMEOUT)/);
  await assert.rejects(rig.client.send('too late'), { code: 'ERR_RDMA_CLOSED' });
  const [, serverError] = await serverEnd;
  assert.match(`${serverError?.code}`, /ERR_RDMA_(CONNECTION_LOST|TIMEOUT)/);
  await serverIsEmpty(rig.server);
});

test('a session that is silent for a while is no trouble while the link brings signs of life, and costs nothing', async () => {
  const limits = { keepAliveMillis: 20, recoveryMillis: 20_000 };
  await using rig = await startFragilePair(undefined, limits, limits);
  const client = new ServiceClient(rig.client);
  await client.welcome();
  let troubles = 0;
  rig.client.on('reconnecting', () => troubles++);
  rig.tcp.isStalled = true;
  const packets = async (): Promise<number> => {
    const { sent = 0, received = 0 } = (await rig.client.queryProgress()) ?? {};
    return sent + received;
  };
  const before = await packets();
  // Nobody sends anything but signs of life; those of one end are for both.
  while ((await packets()) < before + 6) await sleep(20);
  assert.equal(Buffer.from(await client.echo('awake')).toString(), 'awake');
  assert.equal(troubles, 0);
  rig.tcp.isStalled = false;
});

test('a session with a wrong token is refused, and hurts nobody', async () => {
  await using rig = await startFragilePair();
  const refused = once(rig.server, 'refused');
  const channel = await openChannel(rig.server);
  channel.send({ type: 'resume', token: randomBytes(32).toString('hex') });
  await assert.rejects(channel.receive(), { code: 'ERR_RDMA_REFUSED', message: /no connection/ });
  assert.match((await refused)[0].reason, /no connection that this session could take up/);
  const client = new ServiceClient(rig.client);
  assert.match(await client.welcome(), /welcome/);
});

test('a session with the right token but another certificate does not get the connection', async () => {
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const authority = await makeAuthority('test authority', validity);
  const issue = async (commonName: string): Promise<ClientIdentity> => {
    const { certPem, keyPem } = await issueCertificate(authority, { commonName, use: 'client', ...validity });
    return { cert: certPem, key: keyPem };
  };
  await using server = await startServer(undefined, { clientCa: authority.certPem });
  const owner = await RawClient.connect(server, await issue('owner'));
  const token = owner.terms.resumeToken ?? '';
  assert.match(token, /^[0-9a-f]{64}$/);
  const thief = await openChannel(server, await issue('thief'));
  thief.send({ type: 'resume', token });
  await assert.rejects(thief.receive(), { code: 'ERR_RDMA_REFUSED', message: /no connection/ });
  assert.equal(owner.channel.end, undefined, 'the owner still has its session');
  await owner.vanish();
  await serverIsEmpty(server);
});

test('a server without free slots gives the slot of a lost client to one that is here', async () => {
  await using rig = await startFragilePair(
    undefined,
    { slots: 1, recoveryMillis: 60_000 },
    { recoveryMillis: 60_000 },
  );
  await assert.rejects(connectTo(rig.server), { message: /all 1 slots/ });
  rig.tcp.refuses = true;
  rig.tcp.cut();
  await once(rig.client, 'reconnecting');
  let next: Connection | undefined;
  while (next === undefined) next = await connectTo(rig.server).catch(() => undefined);
  assert.match(await new ServiceClient(next).welcome(), /welcome/);
  await next.close();
  rig.tcp.refuses = false;
  const error = await rig.client.closed;
  assert.equal(error?.code, 'ERR_RDMA_REFUSED', 'the lost client learns that its connection is gone');
});

test('a lost client is given up in time also when memory is collected meanwhile', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const limits = { recoveryMillis: 300 };
  await using rig = await startFragilePair(undefined, limits, limits);
  const ended = once(rig.server, 'disconnection');
  rig.tcp.refuses = true;
  rig.tcp.cut();
  const collecting = setInterval(() => collect(), 20);
  await ended;
  clearInterval(collecting);
  await serverIsEmpty(rig.server);
});

test('a program can end a connection that is recovering', async () => {
  await using rig = await startFragilePair(undefined, { recoveryMillis: 100 });
  rig.tcp.refuses = true;
  rig.tcp.cut();
  await once(rig.client, 'reconnecting');
  const error = new RdmaError('ERR_RDMA_ABORTED', 'enough');
  rig.client.abort(error);
  assert.equal(await rig.client.closed, error);
  await serverIsEmpty(rig.server);
});
