/** A client of several servers: which one it gets, what it hears when there is none, and that a connection stays where it is. */
import assert from 'node:assert/strict';
import type { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueCertificate, makeAuthority } from '../../src/certificates/certificate-maker.js';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { connect } from '../../src/connection/client/client.js';
import { reconnecting } from '../../src/connection/client/reconnecting.js';
import type { ConnectOptions } from '../../src/connection/options/connect-options.js';
import type { ListenOptions } from '../../src/connection/options/listen-options.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { listen, type Server } from '../../src/connection/server/server.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { NameServer } from '../../testkit/name-server.js';
import { serve, stop, testDir } from '../../testkit/program.js';
import { FREE_DEVICE } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = await makeAuthority('authority of several servers', validity);
const SERVICE = '_queuepair._tcp.fleet.test';

async function certificateFor(...names: string[]): Promise<{ cert: string; key: string }> {
  const request = { commonName: 'one of several', use: 'server', names, ...validity } as const;
  const { certPem, keyPem } = await issueCertificate(authority, request);
  return { cert: certPem, key: keyPem };
}
const usual = await certificateFor('127.0.0.1', 'fleet.test');

/** Says its name to whoever comes. */
const start = (name: string, options: Partial<ListenOptions> = {}): Promise<Server> =>
  listen({ ...usual, port: 0, device: FREE_DEVICE, ...options }, async (connection) => {
    await connection.send(name);
    for await (const _ of connection);
  });

const at = ({ address }: Server): string => `127.0.0.1:${address.port}`;
const CLIENT: ConnectOptions = { ca: authority.certPem, device: FREE_DEVICE };

async function nameAt(connection: Connection): Promise<string> {
  return Buffer.from((await connection.receive())?.data ?? []).toString();
}

async function nameOf(options: ConnectOptions): Promise<string> {
  await using connection = await connect({ ...CLIENT, ...options });
  return await nameAt(connection);
}

/** A port on which nothing listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('a killed server is passed over: the next connection goes to the other', async () => {
  const [one, two] = await Promise.all([serve(), serve()]);
  const ca = readFileSync(join(testDir(), 'certs', 'ca.pem'), 'utf8');
  const cert = readFileSync(join(testDir(), 'certs', 'client.pem'), 'utf8');
  const key = readFileSync(join(testDir(), 'certs', 'client-key.pem'), 'utf8');
  const hosts = [
    { host: '127.0.0.1', port: one.port },
    { host: '127.0.0.1', port: two.port, priority: 1 },
  ];
  const options = { hosts, ca, cert, key, device: FREE_DEVICE, recoveryMillis: 300 };
  const first = await connect(options);
  assert.equal(first.remotePort, one.port);
  one.program.kill('SIGKILL');
  const error = await first.closed;
  assert.ok(error instanceof RdmaError && error.retryable, String(error));
  const second = await connect(options);
  assert.equal(second.remotePort, two.port);
  assert.match(await new ServiceClient(second).welcome(), /welcome/);
  await second.close();
  await stop(two);
});

test('the loss of a connection counts: its server is tried after the others though it has the better priority', async () => {
  await using one = await start('one', { recoveryMillis: 50 });
  await using two = await start('two');
  await using tcp = await TcpCutter.to(one.address);
  const hosts = [`127.0.0.1:${tcp.port}`, { host: '127.0.0.1', port: two.address.port, priority: 7 }];
  const connection = await connect({ ...CLIENT, hosts, recoveryMillis: 50 });
  assert.equal(await nameAt(connection), 'one');
  tcp.refuses = true;
  tcp.cut();
  assert.notEqual(await connection.closed, undefined);
  tcp.refuses = false;
  assert.equal(await nameOf({ hosts }), 'two');
});

test('who takes none now, is not trusted or is not there gives way to one that is', async () => {
  const port = await deadPort();
  await using drained = await start('drained');
  drained.drain();
  await using elsewhere = await start('elsewhere', await certificateFor('192.0.2.1'));
  await using good = await start('good');
  const hosts = [
    { host: '127.0.0.1', port, priority: 0 },
    { host: '127.0.0.1', port: drained.address.port, priority: 1 },
    { host: '127.0.0.1', port: elsewhere.address.port, priority: 2 },
    { host: '127.0.0.1', port: good.address.port, priority: 3 },
  ];
  assert.equal(await nameOf({ hosts }), 'good');
  const bad = hosts.slice(0, 3);
  await assert.rejects(connect({ ...CLIENT, hosts: bad }), (error) => {
    assert.ok(error instanceof RdmaError);
    assert.equal(error.code, 'ERR_RDMA_NO_SERVER');
    const told = Object.fromEntries((error.attempts ?? []).map((it) => [it.server, it.error]));
    assert.deepEqual(Object.keys(told).sort(), bad.map(({ port: its }) => `127.0.0.1:${its}`).sort());
    assert.equal(told[`127.0.0.1:${port}`]?.code, 'ERR_RDMA_CONNECTION_LOST');
    assert.equal(told[at(drained)]?.refusal, 'draining');
    assert.equal(told[at(elsewhere)]?.refusal, 'certificate');
    for (const server of Object.keys(told)) assert.ok(error.message.includes(server), error.message);
    assert.equal(error.retryable, true, 'one may come back');
    const there = RdmaError.fromJSON(JSON.parse(JSON.stringify(error)));
    assert.equal(there.retryable, true);
    assert.deepEqual(
      there.attempts?.map(({ server, error: why }) => [server, why.code, why.refusal]),
      error.attempts?.map(({ server, error: why }) => [server, why.code, why.refusal]),
    );
    return true;
  });
  await assert.rejects(
    connect({ ...CLIENT, hosts: [at(elsewhere)] }),
    { code: 'ERR_RDMA_TLS' },
    'one alone: its error',
  );
});

test('of thousands of servers that DNS names one call tries a few, says so, and the next call tries others', async () => {
  const first = 10_000;
  const named = Array.from({ length: 3000 }, (_, i) => ({
    name: '127.0.0.1',
    port: first + i,
    priority: 0,
    weight: 1,
  }));
  const resolver = { resolveSrv: async () => named } as unknown as Resolver;
  // Nobody is asked: what a socket would be told is told at once.
  const lookUp = async (): Promise<string[]> => {
    throw Object.assign(new Error('there is no such host'), { code: 'ENOTFOUND' });
  };
  Object.assign(resolver, { resolve4: lookUp, resolve6: lookUp });
  for (const record of named) record.name = 'nobody.fleet.test';
  const tried = new Set<string>();
  for (const call of [1, 2]) {
    await assert.rejects(connect({ ...CLIENT, srv: SERVICE, resolver }), (error) => {
      assert.ok(error instanceof RdmaError);
      assert.equal(error.code, 'ERR_RDMA_NO_SERVER');
      for (const { server } of error.attempts ?? []) tried.add(server);
      assert.equal(error.attempts?.length, 32);
      assert.equal(error.untried, 2968);
      assert.equal(tried.size, 32 * call);
      assert.match(error.message, /none of 32 servers .* 2968 that DNS named as well were not tried/);
      assert.ok(error.retryable);
      assert.equal(RdmaError.fromJSON(error.toJSON()).untried, 2968);
      return true;
    });
  }
});

test('what is wrong on this side is told at once, and no other server is tried', async () => {
  await using one = await start('one');
  await using two = await start('two');
  let refused = 0;
  for (const server of [one, two]) server.on('refused', () => refused++);
  const hosts = [at(one), at(two)];
  await assert.rejects(connect({ ...CLIENT, hosts, device: 'nothing0' }), { fault: 'device' });
  assert.ok(refused <= 1, `${refused} servers were asked`);
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(connect({ ...CLIENT, hosts, signal: abort.signal }), { code: 'ERR_RDMA_ABORTED' });
});

test('several servers share clients, and options that contradict each other are refused', async () => {
  await using one = await start('one', { slots: 50 });
  await using two = await start('two', { slots: 50 });
  const names = new Set<string>();
  // 40 times the same one: once in 10^12 runs.
  for (let i = 0; i < 40 && names.size < 2; i++) names.add(await nameOf({ hosts: [at(one), at(two)] }));
  assert.equal(names.size, 2);
  const wrong: [object, RegExp][] = [
    [{ hosts: ['a'], host: 'b' }, /host or hosts/],
    [{ hosts: [] }, /hosts must be an array/],
    [{ hosts: ['a,b'] }, /hosts must be an array whose every server/],
    [{ hosts: [{ port: 1 }] }, /has a host/],
    [{ hosts: [{ host: 'a', prioritty: 1 }] }, /did you mean hosts\[0\]\.priority/],
    [{ hosts: [{ host: 'a', weight: -1 }] }, /hosts\[0\]\.weight must be an integer/],
    [{ srv: 'fleet.test' }, /srv must be the name of a service/],
    [{ srv: SERVICE, port: 4433 }, /srv or port/],
    [{ srv: SERVICE, hosts: ['a'] }, /srv or hosts/],
    [{ resolver: {} }, /resolver must be a Resolver/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(connect({ ...CLIENT, ...options }), { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
});

test('the servers of a service come from DNS, by priority, and their certificate names the domain, not what DNS said', async () => {
  await using names = await NameServer.start();
  const { resolver } = names;
  await using one = await start('one');
  await using two = await start('two');
  // It has a certificate for the name that DNS tells, and none for the service.
  await using liar = await start('liar', await certificateFor('evil.test'));
  for (const name of ['a.fleet.test', 'b.fleet.test', 'evil.test']) names.a.set(name, '127.0.0.1');
  names.srv.set(SERVICE, [
    { target: 'b.fleet.test', port: two.address.port, priority: 2 },
    { target: 'evil.test', port: liar.address.port, priority: 0 },
    { target: 'a.fleet.test', port: one.address.port, priority: 1 },
  ]);
  assert.equal(await nameOf({ srv: SERVICE, resolver }), 'one');
  assert.ok(names.asked.includes('A a.fleet.test'), 'the addresses come from the same resolver');
  names.srv.set(SERVICE, [{ target: 'evil.test', port: liar.address.port }]);
  await assert.rejects(connect({ ...CLIENT, srv: SERVICE, resolver }), {
    code: 'ERR_RDMA_TLS',
    refusal: 'certificate',
  });
  assert.equal(
    await nameOf({ srv: SERVICE, resolver, servername: 'evil.test' }),
    'liar',
    'the program may say so',
  );
});

test('a service that DNS does not know, does not offer or does not tell is one sentence each', async () => {
  await using names = await NameServer.start();
  const { resolver } = names;
  const options = { ...CLIENT, srv: SERVICE, resolver };
  await assert.rejects(connect(options), {
    code: 'ERR_RDMA_NO_SERVER',
    message: /no SRV records of _queuepair/,
  });
  names.srv.set(SERVICE, [{ target: '.', port: 0 }]);
  await assert.rejects(connect(options), { code: 'ERR_RDMA_NO_SERVER', message: /not offered/ });
  names.isFailing = true;
  await assert.rejects(connect(options), { code: 'ERR_RDMA_NO_SERVER', message: /ESERVFAIL/ });
  names.isSilent = true;
  const signal = AbortSignal.timeout(50);
  await assert.rejects(connect({ ...options, signal }), { code: 'ERR_RDMA_ABORTED', message: /looking up/ });
});

test('records that lead nowhere are passed over: no port, no name, no address', async () => {
  await using names = await NameServer.start();
  await using one = await start('one');
  names.a.set('a.fleet.test', '127.0.0.1');
  // It exists, and has no address.
  names.srv.set('bare.fleet.test', []);
  names.srv.set(SERVICE, [
    { target: 'a.fleet.test', port: 0, priority: 0 },
    { target: 'nobody.fleet.test', port: 4433, priority: 1 },
    { target: 'bare.fleet.test', port: 4433, priority: 2 },
    { target: 'a.fleet.test', port: one.address.port, priority: 3 },
  ]);
  const { resolver } = names;
  assert.equal(await nameOf({ srv: SERVICE, resolver }), 'one');
  names.srv.set(SERVICE, [{ target: 'a.fleet.test', port: 0 }]);
  await assert.rejects(connect({ ...CLIENT, srv: SERVICE, resolver }), { code: 'ERR_RDMA_NO_SERVER' });
});

test('a resolver that answers with no addresses at all is one more server that cannot be found', async () => {
  const record = { name: 'a.fleet.test', port: 4433, priority: 0, weight: 0 };
  const resolver = {
    resolveSrv: async () => [record],
    resolve4: async () => [],
    resolve6: async () => [],
  } as unknown as Resolver;
  await assert.rejects(connect({ ...CLIENT, srv: SERVICE, resolver }), {
    code: 'ERR_RDMA_CONNECTION_LOST',
    message: /its name has no address/,
    retryable: true,
  });
});

test('a connection recovers to the address where it is, whatever DNS says by then', async () => {
  await using names = await NameServer.start();
  await using one = await start('one');
  await using tcp = await TcpCutter.to(one.address);
  names.a.set('a.fleet.test', '127.0.0.1');
  names.srv.set(SERVICE, [{ target: 'a.fleet.test', port: tcp.port }]);
  const options = { srv: SERVICE, resolver: names.resolver, recoveryMillis: 2000 };
  await using connection = await connect({ ...CLIENT, ...options });
  names.a.set('a.fleet.test', '127.0.0.9');
  const reconnected = once(connection, 'reconnected');
  tcp.cut();
  await Promise.race([reconnected, connection.closed.then((error) => Promise.reject(error))]);
  assert.equal(connection.remoteAddress, '127.0.0.1');
});

test('a connection is not taken up by another server, which says so', async () => {
  const one = await start('one');
  await using tcp = await TcpCutter.to(one.address);
  const connection = await connect({ ...CLIENT, hosts: [`127.0.0.1:${tcp.port}`] });
  const { port } = one.address;
  tcp.refuses = true;
  tcp.cut();
  one.abort();
  await one.close();
  await using two = await start('two', { port });
  assert.equal(two.address.port, port);
  tcp.refuses = false;
  const error = await connection.closed;
  assert.equal(error?.refusal, 'resumption', String(error));
  assert.match(error?.message ?? '', /another server or an earlier process/);
});

test('a program that says how to go on elsewhere gets one connection after the other, and all are closed in order', async () => {
  const servers = await Promise.all(['one', 'two'].map((name) => start(name)));
  const hosts = servers.map(at);
  const ended: unknown[] = [];
  for (const server of servers) server.on('disconnection', (_, error) => ended.push(error?.code));
  const met: string[] = [];
  for await (const connection of reconnecting({ ...CLIENT, hosts, recoveryMillis: 20 })) {
    const name = await nameAt(connection);
    met.push(name);
    if (met.length === 2) break;
    const server = servers[['one', 'two'].indexOf(name)];
    const lost = connection.receive();
    server?.abort();
    await assert.rejects(lost, { code: 'ERR_RDMA_REFUSED' });
    await server?.close();
  }
  assert.deepEqual(met.sort(), ['one', 'two']);
  for (const server of servers) await server.close();
  assert.deepEqual(ended, ['ERR_RDMA_ABORTED', undefined]);
});

test('connecting again ends where another try makes no sense, and when the program has waited enough', async () => {
  await using one = await start('one', await certificateFor('192.0.2.1'));
  const forever = reconnecting({ ...CLIENT, hosts: [at(one)] });
  await assert.rejects(forever.next(), { code: 'ERR_RDMA_TLS' });
  const port = await deadPort();
  const signal = AbortSignal.timeout(300);
  const patient = reconnecting({ ...CLIENT, hosts: [`127.0.0.1:${port}`], signal });
  await assert.rejects(patient.next(), { code: 'ERR_RDMA_ABORTED' });
  assert.deepEqual(await patient.next(), { value: undefined, done: true });
});
