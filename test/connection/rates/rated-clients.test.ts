/** Servers that bound what an identity may send and be sent: a greedy client beside a modest one, over real sockets and workers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { issueCertificate, makeAuthority } from '../../../src/certificates/certificate-maker.js';
import type { AuditRecord } from '../../../src/connection/options/audit-record.js';
import type { ListenOptions } from '../../../src/connection/options/listen-options.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { insidesOf } from '../../../src/connection/program/insides.js';
import type { ClientRates } from '../../../src/connection/rates/client-rates.js';
import type { Server } from '../../../src/connection/server/server.js';
import { watch } from '../../../src/observe/watching.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { connectTo, serverIsEmpty, startServer } from '../../../testkit/session-pair.js';
import { within } from '../../../testkit/within.js';
import { join, startWorkerServer } from '../../../testkit/worker-server.js';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = await makeAuthority('clients', validity);

async function issue(commonName: string): Promise<{ cert: string; key: string }> {
  const { certPem, keyPem } = await issueCertificate(authority, { commonName, use: 'client', ...validity });
  return { cert: certPem, key: keyPem };
}

const SLOT_BYTES = 4096;
const RECEIVE_SLOTS = 8;
const BYTES_PER_SECOND = 60_000;
const BURST_BYTES = 40_000;
const MESSAGE_BYTES = 10_000;
const RATE = { bytesPerSecond: BYTES_PER_SECOND, burstBytes: BURST_BYTES };
const HANDLER = new URL('../../../testkit/worker-handler.js', import.meta.url);

const startRated = (
  workers: number,
  rates: ClientRates,
  more: Partial<ListenOptions> = {},
): Promise<Server> =>
  startWorkerServer(HANDLER, workers, {
    rates,
    slotBytes: SLOT_BYTES,
    receiveSlots: RECEIVE_SLOTS,
    clientCa: authority.certPem,
    ...more,
  });

/** Bytes that went one way for sure, and what may have gone at most since the clock began. */
class Account {
  bytes = 0;
  readonly #began = performance.now();
  readonly #connections: number;

  constructor(connections: number) {
    this.#connections = connections;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    const seconds = (performance.now() - this.#began + 1) / 1000;
    const windows = this.#connections * RECEIVE_SLOTS * SLOT_BYTES;
    const most = BURST_BYTES + seconds * BYTES_PER_SECOND + windows;
    assert.ok(this.bytes <= most, `${this.bytes} bytes within ${seconds} s, ${most} at most`);
  }
}

test('a client that starts over again and again sends no more for that', async () => {
  const perSecond = 10_000;
  const takeAll = async (connection: Connection): Promise<void> => {
    for await (const _ of connection);
  };
  const rates = { fromClient: { bytesPerSecond: perSecond } };
  const server = await startServer(takeAll, { rates, slotBytes: SLOT_BYTES, receiveSlots: RECEIVE_SLOTS });
  const began = performance.now();
  const arrived = once(server, 'connection') as Promise<[Connection]>;
  const client = await connectTo(server);
  const { receiver } = insidesOf((await arrived)[0]).dataPath;
  const sending = Array.from({ length: 200 }, () => client.send(Buffer.alloc(MESSAGE_BYTES)).catch(() => {}));
  for (let recovery = 0; recovery < 8; recovery++) {
    // All that the link has room for.
    const fill = async (): Promise<void> => {
      while (receiver.received < 2 * (recovery + 1)) await new Promise(setImmediate);
    };
    await within(fill(), 20_000);
    const isUp = once(client, 'reconnected');
    await insidesOf(client).dataPath.resources.qp.modify({ state: QpState.ERR });
    await within(isUp, 20_000);
  }
  const bytes = receiver.received * SLOT_BYTES;
  const seconds = (performance.now() - began + 1) / 1000;
  // The burst, and the receives of two links. The last fragment of a message is shorter than counted here.
  const most = perSecond + seconds * perSecond + 4 * SLOT_BYTES;
  assert.ok(bytes <= most, `${bytes} bytes within ${seconds} s, ${most} at most`);
  client.abort(new RdmaError('ERR_RDMA_ABORTED', 'the test is over'));
  await Promise.all(sending);
  await serverIsEmpty(server);
  await server.close();
});

/** Sends `count` messages as fast as they go, and takes the echoes. */
async function exchange(
  client: Connection,
  count: number,
  onSent: () => void,
  onEcho: () => void,
): Promise<void> {
  const data = Buffer.alloc(MESSAGE_BYTES, 'x');
  const sending = async (): Promise<void> => {
    await Promise.all(Array.from({ length: count }, () => client.send(data).then(onSent)));
  };
  const taking = async (): Promise<void> => {
    for (let i = 0; i < count; i++) {
      assert.equal((await client.receive())?.data.length, MESSAGE_BYTES);
      onEcho();
    }
  };
  await Promise.all([sending(), taking()]);
}

for (const workers of [0, 2])
  for (const direction of ['fromClient', 'toClient'] as const)
    test(`a greedy identity stays within its rate over two connections, ${direction}, and a modest one never waits (${workers} workers)`, async () => {
      const [greedy, modest] = [await issue('greedy'), await issue('modest')];
      const records: AuditRecord[] = [];
      const told: (string | null)[] = [];
      const stop = watch('queuepair:throttled', ({ peer }) => told.push(peer));
      const server = await startRated(
        workers,
        { [direction]: RATE },
        { onAudit: (record) => records.push(record) },
      );
      const account = new Account(2);
      const clients = [await join(server, greedy), await join(server, greedy)];
      // A client goes to the worker with the fewest: these two share their rate across threads.
      assert.ok(server.workers.every(({ connections }) => connections === 1));
      const other = await join(server, modest);
      const note = (): void => account.add(MESSAGE_BYTES);
      const nothing = (): void => {};
      const [onSent, onEcho] = direction === 'fromClient' ? [note, nothing] : [nothing, note];
      const greed = Promise.all(clients.map((client) => exchange(client, 12, onSent, onEcho)));
      // Less than its burst.
      await exchange(other, 3, nothing, nothing);
      await greed;
      assert.equal(account.bytes, 2 * 12 * MESSAGE_BYTES);
      const { identities, [direction]: throttled } = server.rates;
      assert.equal(identities, 2);
      assert.ok(throttled.times > 0 && throttled.millis > 0);
      for (const client of [...clients, other]) await client.close();
      await serverIsEmpty(server);
      await server.close();
      stop();
      const named = records.filter(({ event }) => event === 'throttled').map(({ peer }) => peer?.subject);
      assert.deepEqual(new Set(named), new Set(['CN=greedy']));
      assert.deepEqual(new Set(told), new Set(['CN=greedy']));
    });

test('streams are bounded as well, encrypted ones by address where there are no certificates', async () => {
  const total = 12 * MESSAGE_BYTES;
  const account = new Account(1);
  const server = await startServer(
    async (connection) => {
      connection.on('stream', (stream) => {
        stream.on('data', ({ length }: Buffer) => account.add(length));
        stream.end();
      });
      await connection.closed;
    },
    {
      rates: { fromClient: RATE },
      slotBytes: SLOT_BYTES,
      receiveSlots: RECEIVE_SLOTS,
      encryption: 'aes-256-gcm',
    },
  );
  const client = await connectTo(server);
  const stream = client.openStream();
  stream.resume();
  stream.end(Buffer.alloc(total));
  await once(stream, 'close');
  assert.equal(account.bytes, total);
  assert.ok(server.rates.fromClient.times > 0);
  await client.close();
  await server.close();
});

test('authorize gives an identity rates of its own, or none', async () => {
  const [bounded, free] = [await issue('bounded'), await issue('free')];
  const server = await startRated(
    0,
    { fromClient: { bytesPerSecond: 1, burstBytes: 1 } },
    {
      authorize: (peer) => ({
        rates: peer?.subject === 'CN=free' ? {} : { fromClient: { messagesPerSecond: 50, burstMessages: 2 } },
      }),
    },
  );
  const [slow, fast] = [await join(server, bounded), await join(server, free)];
  assert.equal(server.rates.identities, 1);
  const nothing = (): void => {};
  await exchange(fast, 20, nothing, nothing);
  assert.equal(server.rates.fromClient.times, 0);
  await exchange(slow, 20, nothing, nothing);
  assert.ok(server.rates.fromClient.times > 0);
  for (const client of [slow, fast]) await client.close();
  await server.close();
});

test('wrong rates are refused with a sentence', async () => {
  const wrong: [unknown, RegExp][] = [
    [{ fromClient: { bytesPerSecond: 0 } }, /rates\.fromClient\.bytesPerSecond must be an integer from 1/],
    [
      { toClient: { burstBytes: 1 } },
      /rates\.toClient must be a rate with bytesPerSecond where it has burstBytes/,
    ],
    [{ toClient: { burstMessages: 1 } }, /rates\.toClient must be a rate with messagesPerSecond/],
    [{ fromclient: {} }, /did you mean rates\.fromClient/],
    [{ fromClient: 5 }, /rates\.fromClient must be an object/],
  ];
  for (const [rates, message] of wrong)
    await assert.rejects(startServer(undefined, { rates: rates as ClientRates }), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
      message,
    });
});

/** Nothing moves for 3.4 s, and an orderly end waits 1.5 s for a path that may be dead, from when something moved last. */
const SHORT_PATH = { timeout: 14, retryCount: 7 };
const SLOW = { bytesPerSecond: 1000, burstBytes: 1 };

test('a close of a client whose rate is used up sends all that was queued before', async () => {
  const arrived: number[] = [];
  await using server = await startServer(
    async (connection) => {
      for await (const { data } of connection) arrived.push(data.length);
      // It does not leave first.
      await connection.closed;
    },
    { rates: { fromClient: SLOW } },
  );
  const client = await connectTo(server, { path: SHORT_PATH });
  const sent = [0, 1, 2].map(() => client.send(Buffer.alloc(1700)));
  await client.close();
  await Promise.all(sent);
  await serverIsEmpty(server);
  assert.deepEqual(arrived, [1700, 1700, 1700]);
});

for (const workers of [0, 1])
  test(`a server with ${workers} workers that closes a connection whose rate is used up sends all that was queued before`, async () => {
    await using server = await startWorkerServer(HANDLER, workers, {
      rates: { toClient: SLOW },
      path: SHORT_PATH,
    });
    const client = await join(server);
    await client.send('send two and close');
    const arrived: number[] = [];
    for await (const { data } of client) arrived.push(data.length);
    assert.deepEqual(arrived, [3400, 3400]);
    await client.close();
  });
