/** Memory that a peer may use until it is told otherwise. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import type { WorkTracker } from '../../src/connection/fragments/work-tracker.js';
import type { ConnectionResources } from '../../src/connection/link/resources.js';
import { Grants, MAX_GRANTS } from '../../src/connection/memory/grants.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { AuditRecord } from '../../src/connection/options/audit-record.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import type { Grant } from '../../src/connection/program/grant.js';
import type { Server } from '../../src/connection/server/server.js';
import { toRKey } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

interface Pair {
  readonly server: Server;
  readonly served: Connection;
  readonly client: Connection;
}

/** A server whose program does nothing by itself. */
async function pair(options: Partial<ListenOptions> = {}): Promise<Pair> {
  const server = await startServer(async (connection) => void (await connection.closed), options);
  const arrived = once(server, 'connection') as Promise<[Connection]>;
  const client = await connectTo(server);
  return { server, client, served: (await arrived)[0] };
}

async function done({ server, client }: Pair): Promise<void> {
  await client.close();
  await serverIsEmpty(server);
  await server.close();
}

/** The server grants, and tells the client over the connection. */
async function tell({ served, client }: Pair, grant: Grant): Promise<RemoteBuffer> {
  await served.send(grant.remote.encode());
  return RemoteBuffer.decode((await client.receive())?.data ?? assert.fail());
}

/** What a peer gets that uses what it may not, and how the connection is afterwards. */
async function refused(access: Promise<unknown>): Promise<void> {
  await assert.rejects(access, { code: 'ERR_RDMA_COMPLETION', status: 'REM_ACCESS_ERR' });
}

const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000);

test('a peer writes and reads granted memory, and no longer when the grant was revoked', async () => {
  const both = await pair();
  const { served, client, server } = both;
  const memory = new Uint8Array(10_000);
  const before = server.device.census();
  const grant = await served.grant(memory.subarray(1000, 9000), { read: true, write: true });
  const remote = await tell(both, grant);
  const data = randomBytes(8000);
  await client.write(remote, data);
  assert.deepEqual(Buffer.from(memory.subarray(1000, 9000)), data);
  assert.deepEqual(Buffer.from(await client.read(remote.at(100, 50))), data.subarray(100, 150));
  await grant.revoke();
  assert.equal(await grant.ended, 'revoked');
  assert.deepEqual(server.device.census(), before);
  await refused(client.read(remote));
  assert.deepEqual(memory.subarray(0, 1000), new Uint8Array(1000));
  assert.deepEqual(memory.subarray(9000), new Uint8Array(1000));
  // The connection itself goes on.
  await client.send('still here');
  await done(both);
});

for (const right of ['read', 'write'] as const) {
  test(`a grant to ${right} is no grant for the other`, async () => {
    const both = await pair();
    const memory = randomBytes(64);
    const before = Uint8Array.from(memory);
    const remote = await tell(both, await both.served.grant(memory, { [right]: true }));
    if (right === 'read') {
      assert.deepEqual(Buffer.from(await both.client.read(remote)), memory);
      await refused(both.client.write(remote, randomBytes(64)));
    } else {
      await refused(both.client.read(remote));
    }
    assert.deepEqual(Uint8Array.from(memory), before);
    await done(both);
  });
}

test('beyond its end and before its beginning a grant opens nothing', async () => {
  for (const outside of [
    ({ addr, rkey, length }: RemoteBuffer) => new RemoteBuffer(addr + 1n, rkey, length),
    ({ addr, rkey, length }: RemoteBuffer) => new RemoteBuffer(addr - 1n, rkey, length),
    ({ addr, rkey, length }: RemoteBuffer) => new RemoteBuffer(addr, rkey, length + 1),
  ]) {
    const both = await pair();
    const memory = new Uint8Array(4096);
    const granted = memory.subarray(1024, 2048);
    const remote = outside(await tell(both, await both.served.grant(granted, { write: true })));
    await refused(both.client.write(remote, randomBytes(remote.length)));
    assert.ok(memory.every((byte) => byte === 0));
    await done(both);
  }
});

test('a grant ends at its time, and at the end of the connection', async () => {
  const both = await pair();
  const { served, client } = both;
  const expires = new Date(Date.now() + 80);
  const short = await served.grant(new Uint8Array(64), { read: true, expires });
  const long = await served.grant(new Uint8Array(64), { read: true });
  const remote = await tell(both, short);
  await client.read(remote);
  assert.equal(await short.ended, 'expired');
  assert.ok(Date.now() >= expires.getTime());
  await done(both);
  assert.match(await long.ended, /the connection (has ended|failed)/);
});

test('another client cannot use a grant, although it knows all of it', async () => {
  const both = await pair();
  const memory = new Uint8Array(64);
  const grant = await both.served.grant(memory, { read: true, write: true });
  const thief = await connectTo(both.server);
  await refused(thief.read(grant.remote));
  await refused(thief.write(grant.remote, randomBytes(64)));
  await both.client.read(await tell(both, grant));
  assert.ok(memory.every((byte) => byte === 0));
  await thief.close();
  await done(both);
});

test('windows are over when the connection recovers, and can be granted again', async () => {
  const both = await pair();
  const { served, client } = both;
  const grant = await served.grant(new Uint8Array(64), { read: true });
  const recovered = recoveryOf(served);
  await refused(client.read(new RemoteBuffer(grant.remote.addr, (grant.remote.rkey ^ 1) >>> 0, 64)));
  assert.equal(await within(grant.ended), 'the connection failed');
  await recovered;
  const remote = await tell(both, await served.grant(new Uint8Array(64).fill(7), { read: true }));
  assert.deepEqual(await client.read(remote), new Uint8Array(64).fill(7));
  await done(both);
});

test('granted memory of an encrypted connection is written and read sealed', async () => {
  const both = await pair({ encryption: 'aes-256-gcm' });
  const memory = new Uint8Array(256);
  const remote = await tell(both, await both.served.grant(memory, { read: true, write: true }));
  const data = randomBytes(256);
  await both.client.write(remote, data);
  assert.deepEqual(Buffer.from(await both.client.read(remote)), data);
  assert.deepEqual(Buffer.from(memory), data);
  await done(both);
});

test('an encrypted connection grants no bytes twice that the peer may write, nor those that it lends', async () => {
  const both = await pair({ encryption: 'aes-256-gcm', bufferBytes: 4096 });
  const { served } = both;
  const misuse = (what: RegExp) => ({ code: 'ERR_RDMA_INVALID_ARGUMENT', message: what });
  const memory = new Uint8Array(256);
  const first = await served.grant(memory.subarray(64, 128), { write: true });
  for (const [from, to] of [
    [0, 65],
    [127, 128],
    [64, 128],
    [0, 256],
  ]) {
    const again = served.grant(memory.subarray(from, to), { read: true });
    await assert.rejects(again, misuse(/overlap another grant.*revoke the other grant first/));
  }
  // Neighbours, and readers among themselves, are in nobody's way.
  await served.grant(memory.subarray(0, 64), { read: true });
  await served.grant(memory.subarray(32, 64), { read: true });
  await assert.rejects(
    served.grant(memory.subarray(0, 33), { write: true }),
    misuse(/overlap another grant/),
  );
  await served.grant(memory.subarray(128), { read: true, write: true });
  await first.revoke();
  await served.grant(memory.subarray(64, 128), { read: true, write: true });
  const lent = served.buffer.subarray(4000);
  await assert.rejects(
    served.grant(lent, { read: true }),
    misuse(/overlap the memory that is lent to the peer/),
  );
  await done(both);
});

test('a connection that is not encrypted grants the same bytes as often as it likes', async () => {
  const both = await pair();
  const memory = new Uint8Array(64);
  const one = await tell(both, await both.served.grant(memory, { write: true }));
  const other = await tell(both, await both.served.grant(memory, { read: true, write: true }));
  await both.client.write(one, new Uint8Array(64).fill(5));
  assert.deepEqual(await both.client.read(other), new Uint8Array(64).fill(5));
  await done(both);
});

for (const { what, rights, from, length } of [
  { what: 'a grant to write only', rights: { write: true }, from: 0, length: 64 },
  { what: 'a byte behind a grant', rights: { read: true }, from: 0, length: 65 },
  { what: 'a byte before a grant', rights: { read: true }, from: -1, length: 64 },
]) {
  test(`whoever asks for ${what} over an encrypted connection breaks the rules`, async () => {
    const both = await pair({ encryption: 'aes-256-gcm' });
    const memory = new Uint8Array(128).fill(7);
    const remote = await tell(both, await both.served.grant(memory.subarray(32, 96), rights));
    const asked = new RemoteBuffer(remote.addr + BigInt(from), remote.rkey, length);
    await assert.rejects(both.client.read(asked), { code: 'ERR_RDMA_REFUSED' });
    const end = await both.served.closed;
    assert.equal(end?.code, 'ERR_RDMA_PROTOCOL');
    assert.match(end?.message ?? '', /memory that it may not read/);
    await done(both);
  });
}

/** Grants of memory that is registered nowhere; `freed` is what it waits for when it goes. */
function grantsAlone(freed: Promise<void>): { grants: Grants; create: () => Promise<number> } {
  const grants = new Grants({ read: true, write: true }, () => {});
  const region = { addr: 0x1000n, rkey: toRKey(1), length: 64 };
  const resources = {
    pd: { device: { attributes: { maxMws: 0 } } },
    register: async () => region,
    deregister: () => freed,
  } as unknown as ConnectionResources;
  const tracker = {} as WorkTracker;
  const bytes = new Uint8Array(64);
  const terms = { bytes, read: true, write: false, expiresAtMillis: null };
  let lastId = 0;
  const create = async (): Promise<number> => {
    const id = ++lastId;
    await grants.create(resources, tracker, { id, ...terms }, false);
    return id;
  };
  return { grants, create };
}

test('sealed access reaches a grant until it is revoked, and not until its region is gone', async () => {
  const { promise, resolve } = later();
  const { grants, create } = grantsAlone(promise);
  const id = await create();
  assert.equal(grants.reachable(0x1000n, 64, 'read')?.length, 64);
  const revoked = grants.revoke(id, 'revoked');
  assert.equal(grants.reachable(0x1000n, 64, 'read'), undefined);
  assert.equal(grants.size, 1);
  resolve();
  await revoked;
  assert.equal(grants.size, 0);
});

test('a connection has a bounded number of grants, those that are being made included', async () => {
  const { grants, create } = grantsAlone(Promise.resolve());
  const made = await Promise.all(Array.from({ length: MAX_GRANTS - 1 }, create));
  const last = create();
  await assert.rejects(create(), { code: 'ERR_RDMA_LIMIT' });
  await last;
  await assert.rejects(create(), { code: 'ERR_RDMA_LIMIT' });
  await grants.revoke(made[0] ?? 0, 'revoked');
  await create();
  assert.equal(grants.size, MAX_GRANTS);
});

function later(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

test('a grant may be for longer than a timer can be', async (t) => {
  const both = await pair();
  const timers = t.mock.method(globalThis, 'setTimeout');
  const grant = await both.served.grant(new Uint8Array(8), { read: true, expires: inDays(60) });
  const delays = timers.mock.calls.map(({ arguments: [, millis] }) => millis ?? 0);
  timers.mock.restore();
  assert.ok(Math.max(...delays) > 86_400_000, 'it has a timer');
  assert.ok(Math.max(...delays) < 2 ** 31, 'a longer one would end at once');
  await grant.revoke();
  await done(both);
});

test('a grant needs a right, a byte, a time to come, and no more than the terms of the peer', async () => {
  const both = await pair({ authorize: () => ({ rights: { read: true, write: false } }) });
  const { served } = both;
  const memory = new Uint8Array(64);
  const usage = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
  await assert.rejects(served.grant(memory, {}), usage);
  await assert.rejects(served.grant(memory.subarray(0, 0), { read: true }), usage);
  await assert.rejects(served.grant(memory, { read: true, expires: new Date(Date.now() - 1) }), usage);
  await assert.rejects(served.grant(memory, { write: true }), usage);
  await (await served.grant(memory, { read: true })).revoke();
  await done(both);
  await assert.rejects(served.grant(memory, { read: true }), { code: 'ERR_RDMA_CLOSED' });
});

test('the audit says what was granted and what ended it, and no key', async () => {
  const records: AuditRecord[] = [];
  const both = await pair({ onAudit: (record) => records.push(record) });
  // It hangs on no event.
  both.served.removeAllListeners();
  const grant = await both.served.grant(new Uint8Array(64), { read: true });
  const { rkey, addr } = grant.remote;
  await grant.revoke('no longer needed');
  await done(both);
  const told = records.filter(({ event }) => event === 'granted' || event === 'revoked');
  assert.deepEqual(
    told.map(({ event }) => event),
    ['granted', 'revoked'],
  );
  const text = JSON.stringify(records);
  assert.match(text, /"bytes":64,"rights":\{"read":true,"write":false\}/);
  assert.match(text, /no longer needed/);
  assert.ok(
    !text.includes(String(rkey)) && !text.includes(addr.toString(16)) && !text.includes(String(addr)),
  );
});

test('a remote buffer that was not encoded by its owner is refused', () => {
  assert.throws(() => RemoteBuffer.decode(new Uint8Array(19)), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => RemoteBuffer.decode(new Uint8Array(20).fill(255)), {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
  });
  const buffer = new RemoteBuffer(2n ** 45n, 0xfffffffe, 123_456);
  assert.deepEqual(RemoteBuffer.decode(buffer.encode()), buffer);
});

test('an expired grant that the device does not close is closed later, or ends with the link', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  let failures = 1;
  const ended: [number, string][] = [];
  const grants = new Grants({ read: true, write: true }, (id, reason) => ended.push([id, reason]));
  const region = { addr: 0x1000n, rkey: toRKey(1), length: 64 };
  const resources = {
    pd: { device: { attributes: { maxMws: 0 } } },
    register: async () => region,
    deregister: async () => {
      if (failures-- > 0) throw new Error('the device is busy');
    },
  } as unknown as ConnectionResources;
  const passes = async (millis: number): Promise<void> => {
    t.mock.timers.tick(millis);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  const create = (id: number) => {
    const terms = { bytes: new Uint8Array(64), read: true, write: false, expiresAtMillis: Date.now() + 100 };
    return grants.create(resources, {} as WorkTracker, { id, ...terms }, false);
  };
  await create(1);
  await passes(100);
  assert.deepEqual(ended, []);
  assert.equal(grants.reachable(0x1000n, 64, 'read'), undefined, 'nobody moves its bytes any more');
  await passes(1000);
  assert.deepEqual(ended, [[1, 'expired']]);
  failures = Number.POSITIVE_INFINITY;
  await create(2);
  await passes(2000);
  await assert.rejects(grants.endAll('the connection has ended'), /the device is busy/);
  assert.deepEqual(ended[1], [2, 'the connection has ended']);
  assert.equal(grants.size, 0);
});

test('a grant that is not made leaves nothing behind, also where the device frees its window only later', async () => {
  let failures = 1;
  const open = new Set<string>();
  const part = (name: string) => {
    open.add(name);
    return name;
  };
  const window = {
    nextRkey: () => toRKey(2),
    close: async () => {
      if (failures-- > 0) throw new Error('the device is busy');
      open.delete('window');
    },
  };
  const resources = {
    pd: {
      device: { attributes: { maxMws: 1 } },
      allocMw: async () => part('window') && window,
    },
    register: async () => part('region') && { addr: 0x1000n, rkey: toRKey(1), length: 64 },
    deregister: async () => {
      assert.ok(!open.has('window'), 'the region goes after the window that is over it');
      open.delete('region');
    },
  } as unknown as ConnectionResources;
  const broken = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the link has failed');
  const tracker = { post: (_: unknown, done: (error: RdmaError) => void) => done(broken) } as WorkTracker;
  const grants = new Grants({ read: true, write: true }, () => assert.fail('none was made'));
  const create = (id: number) => {
    const terms = { bytes: new Uint8Array(64), read: true, write: false, expiresAtMillis: null };
    return grants.create(resources, tracker, { id, ...terms }, false);
  };
  const notMade = { code: 'ERR_RDMA_CONNECTION_LOST', message: /before the memory was granted/ };
  await assert.rejects(create(1), notMade);
  assert.deepEqual([...open], ['window', 'region'].reverse());
  assert.equal(grants.size, 1, 'it counts as long as it holds something');
  await assert.rejects(create(2), notMade);
  assert.deepEqual([[...open], grants.size], [[], 0], 'the next one frees what that one left');
  failures = 1;
  await assert.rejects(create(3), notMade);
  await grants.endAll('the connection has ended');
  assert.deepEqual([[...open], grants.size], [[], 0]);
  failures = Number.POSITIVE_INFINITY;
  await assert.rejects(create(4), notMade);
  await assert.rejects(grants.endAll('the connection has ended'), /the device is busy/);
  assert.equal(grants.size, 0);
});

test('many grants at once wait for room in the send queue, and messages have theirs', async () => {
  const { server, served, client } = await pair();
  const grants = Array.from({ length: 400 }, () => client.grant(new Uint8Array(64), { read: true }));
  const sent = Array.from({ length: 100 }, (_, i) => client.send(Buffer.from([i])));
  await Promise.all(grants);
  await Promise.all(sent);
  for (let i = 0; i < 100; i++) assert.equal((await served.receive())?.data[0], i);
  await client.close();
  assert.equal(client.statistics.recoveries, 0);
  await serverIsEmpty(server);
  await server.close();
});
