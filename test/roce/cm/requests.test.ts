/** Which requests a listener is told of: each check fails alone, is counted by name and answered as Linux would expect it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCmaHeader } from '../../../src/roce/cm/wire/cma-header.js';
import { writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Rej } from '../../../src/roce/cm/wire/rej.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import type { RdmaError } from '../../../src/verbs/errors.js';
import {
  CM_SERVICE,
  CmHosts,
  type CmTestHost,
  cmAddress,
  cmMessage,
  cmParameters,
} from '../../../testkit/cm-hosts.js';
import { capturedPacket, madOf } from '../../../testkit/cm-packets.js';

function world() {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  server.listen();
  client.connectTo(server, 0x100);
  const req = cmMessage(hosts.last('REQ')) as Req;
  // The one that made this REQ is over.
  server.reject(server.take('request').id);
  client.take('rejected');
  hosts.types();
  return { hosts, client, server, req: { ...req, localCommId: (req.localCommId ^ 1) >>> 0 } };
}

type Change = (req: Req) => Partial<Req>;

function withHeader(req: Req, source: string, destination: string): Uint8Array {
  const privateData = new Uint8Array(92);
  const header = { sourcePort: 1, source: cmAddress(source), destination: cmAddress(destination) };
  writeCmaHeader(privateData, 0, header);
  return req.privateData.length === 92 ? privateData : new Uint8Array(0);
}

const CASES: readonly (readonly [what: string, drop: string, reason: number, change: Change])[] = [
  ['a service that nobody listens for', 'no_listener', 8, () => ({ serviceId: CM_SERVICE + 1n })],
  ['another transport', 'bad_transport', 9, () => ({ transport: 1 })],
  ['an alternate path', 'alternate_path', 18, ({ primary }) => ({ alternate: primary })],
  [
    'a path to somebody else',
    'bad_path',
    12,
    ({ primary }) => ({ primary: { ...primary, remoteGid: cmAddress('10.0.0.3') } }),
  ],
  [
    'a path from somebody else',
    'bad_path',
    12,
    ({ primary }) => ({ primary: { ...primary, localGid: cmAddress('10.0.0.3') } }),
  ],
  ['another partition', 'bad_pkey', 12, () => ({ pkey: 0x8001 })],
  ['an MTU that is none', 'bad_mtu', 26, () => ({ mtu: 0 })],
  ['an MTU that is none either', 'bad_mtu', 26, () => ({ mtu: 6 })],
  ['queue pair 1', 'bad_qpn', 28, () => ({ qpn: 1 })],
  ['the queue pair of multicast', 'bad_qpn', 28, () => ({ qpn: 0xffffff })],
  ['no CMA header', 'bad_cma_header', 28, () => ({ privateData: new Uint8Array(92) })],
  [
    'a foreign destination',
    'foreign_destination',
    28,
    (req) => ({ privateData: withHeader(req, '10.0.0.2', '10.0.0.9') }),
  ],
  [
    'a multicast source',
    'bad_source',
    28,
    (req) => ({ privateData: withHeader(req, '224.0.0.1', '10.0.0.1') }),
  ],
  ['nobody as source', 'bad_source', 28, (req) => ({ privateData: withHeader(req, '0.0.0.0', '10.0.0.1') })],
  [
    'everybody as source',
    'bad_source',
    28,
    (req) => ({ privateData: withHeader(req, '255.255.255.255', '10.0.0.1') }),
  ],
  [
    'this machine as source',
    'bad_source',
    28,
    (req) => ({ privateData: withHeader(req, '127.0.0.1', '10.0.0.1') }),
  ],
];

for (const [what, drop, reason, change] of CASES) {
  test(`a request with ${what} is rejected with reason ${reason}, and leaves nothing behind`, () => {
    const { hosts, client, server, req } = world();
    hosts.pass(5000);
    const before = server.machine.census;
    server.events.length = 0;
    hosts.arrives = () => false;
    server.hear(writeCmMessage({ ...req, ...change(req) }), client.address);
    assert.deepEqual(
      hosts.sent.map(({ type }) => type),
      ['REJ'],
    );
    const rej = cmMessage(hosts.last('REJ')) as Rej;
    assert.deepEqual([rej.reason, rej.localCommId, rej.remoteCommId], [reason, 0, req.localCommId]);
    assert.equal(rej.transactionId, req.transactionId);
    assert.equal(rej.info.length, reason === 12 || reason === 18 ? 16 : 0);
    assert.deepEqual([server.events, server.drops(drop)], [[], 1]);
    assert.deepEqual(server.machine.census, before);
    server.hear(writeCmMessage(req), client.address);
    assert.equal(server.take('request').remote.host, '10.0.0.2', 'the request as it was is told');
  });
}

test('a request with an MTU above that of the device is rejected', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1', { maxMtu: 1024 })];
  server.listen();
  const id = client.connectTo(server, 0x100, { mtu: 2048 });
  assert.deepEqual([client.take('rejected').reason, server.drops('bad_mtu')], [26, 1]);
  assert.equal(client.machine.stateOf(id), 'timewait');
});

test('the REQ of rping is told as rping meant it, over IPv4 and IPv6', () => {
  for (const [name, server, client] of [
    ['REQ rping IPv4', '10.88.0.1', '10.88.0.2'],
    ['REQ IPv6', 'fd88::1', 'fd88::2'],
  ] as const) {
    const hosts = new CmHosts();
    const host = hosts.add(server);
    host.listen();
    host.hear(madOf(capturedPacket(name)), cmAddress(client));
    const { remote, local, path, peer } = host.take('request');
    assert.equal(remote.host, client);
    assert.deepEqual(local, { host: server, port: 7174 });
    assert.deepEqual(
      [path.peer.mtu, path.options.timeout, peer.retryCount, peer.rnrRetryCount],
      [1024, 19, 7, 7],
    );
  }
});

test('a service for datagrams takes no REQ, and one for connections no SIDR_REQ', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  const serviceId = serviceIdOf(PortSpace.UDP, 7);
  server.listen({ serviceId, forDatagrams: true });
  client.connectTo(server, 0x100, { serviceId });
  assert.deepEqual([client.take('rejected').reason, server.drops('wrong_service')], [28, 1]);
});

test('a service without CMA header gets all 92 bytes, from the address of the path', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  const serviceId = 0x0002c90300000001n;
  server.listen({ serviceId });
  client.connectTo(server, 0x100, { serviceId, privateData: new Uint8Array(92).fill(7) });
  const { peer, remote, local } = server.take('request');
  assert.deepEqual(peer.privateData, new Uint8Array(92).fill(7));
  assert.deepEqual(
    [remote, local],
    [
      { host: '10.0.0.2', port: 0 },
      { host: '10.0.0.1', port: 0 },
    ],
  );
});

test('a listener on an address goes before the one on all, and takes no other address', () => {
  const hosts = new CmHosts();
  const [own, other] = [cmAddress('10.0.0.1'), cmAddress('10.0.0.7')];
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1', { addresses: [own, other] })];
  const special = server.listen({ address: other });
  const req = (): Req => {
    client.connectTo(server, 0x100);
    return cmMessage(hosts.last('REQ')) as Req;
  };
  client.connectTo(server, 0x100);
  assert.deepEqual([client.take('rejected').reason, server.drops('foreign_destination')], [28, 1]);
  const all = server.listen();
  client.connectTo(server, 0x101);
  assert.equal(server.take('request').listener, all);
  const asked = req();
  server.events.length = 0;
  const primary = { ...asked.primary, remoteGid: other };
  const changed = {
    ...asked,
    localCommId: 99,
    qpn: 0x77,
    primary,
    privateData: withHeader(asked, '10.0.0.2', '10.0.0.7'),
  };
  server.hear(writeCmMessage(changed), client.address);
  assert.equal(server.take('request').listener, special);
});

test('a taken port and a foreign address are refused in words; a closed listener makes room', () => {
  const hosts = new CmHosts();
  const server = hosts.add('10.0.0.1');
  const id = server.listen();
  const code = (want: string) => (error: RdmaError) => error.code === want;
  assert.throws(() => server.listen(), code('ERR_RDMA_IN_USE'));
  server.listen({ address: server.address });
  assert.throws(() => server.listen({ address: server.address }), code('ERR_RDMA_IN_USE'));
  assert.throws(() => server.listen({ address: cmAddress('10.0.0.9') }), code('ERR_RDMA_ADDRESS'));
  assert.throws(() => server.listen({ backlog: 0 }), code('ERR_RDMA_INVALID_ARGUMENT'));
  assert.equal(server.machine.closeListener(id), true);
  assert.equal(server.machine.closeListener(id), false);
  server.listen();
});

test('mistakes of the program are told before anything is sent', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  const code = (want: string) => (error: RdmaError) => error.code === want;
  const usage = code('ERR_RDMA_INVALID_ARGUMENT');
  assert.throws(() => client.connectTo(server, 1, { privateData: new Uint8Array(57) }), usage);
  assert.throws(() => client.connectTo(server, 1, { timeoutMillis: 0 }), usage);
  assert.throws(() => client.connectTo(server, 1, { remote: cmAddress('224.0.0.1') }), usage);
  assert.throws(() => client.connectTo(server, 1, { remote: cmAddress('fd00::1') }), usage);
  assert.throws(() => client.connectTo(server, 1, { local: server.address }), code('ERR_RDMA_ADDRESS'));
  assert.deepEqual([hosts.types(), client.machine.census.connections], [[], 0]);
  server.listen();
  client.connectTo(server, 0x100);
  const { id } = server.take('request');
  const long = { ...cmParameters(2), privateData: new Uint8Array(197) };
  assert.throws(() => server.machine.accept(id, long, hosts.now), usage);
  assert.throws(() => server.machine.reject(id, 28, new Uint8Array(149), hosts.now), usage);
  assert.throws(() => server.machine.reject(id, -1, new Uint8Array(0), hosts.now), usage);
  assert.throws(() => server.machine.reject(id, 4, new Uint8Array(0), hosts.now), usage);
  assert.equal(server.accept(id, 0x200), true);
});

test('a full backlog is silence, and the client asks again', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  server.listen({ backlog: 1 });
  client.connectTo(server, 0x100);
  const first = server.take('request');
  const second = client.connectTo(server, 0x101);
  assert.deepEqual([server.events, server.drops('backlog_full')], [[], 1]);
  server.accept(first.id, 0x200);
  hosts.pass(1000);
  server.accept(server.take('request').id, 0x201);
  assert.ok(client.events.some((event) => event.type === 'response' && event.id === second));
});

test('one address has so many unfinished requests, all have so many, and connections are bounded', () => {
  const limits = { maxHalfOpenOfSource: 2, maxHalfOpen: 3, maxConnections: 4 };
  const hosts = new CmHosts();
  const server = hosts.add('10.0.0.1', { limits });
  const [a, b] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.3')];
  server.listen();
  for (let i = 0; i < 3; i++) a.connectTo(server, 0x100 + i);
  assert.deepEqual([server.events.length, server.drops('source_limit')], [2, 1]);
  for (let i = 0; i < 2; i++) b.connectTo(server, 0x100 + i);
  assert.deepEqual([server.events.length, server.drops('no_resources')], [3, 1]);
  assert.equal(server.machine.census.halfOpen, 3);
  for (const event of server.events.splice(0))
    if (event.type === 'request') server.accept(event.id, 0x200 + event.id);
  for (const host of [a, b])
    for (const event of host.events.splice(0)) if (event.type === 'response') host.establish(event.id);
  assert.equal(server.machine.census.halfOpen, 0);
  hosts.pass(1000);
  assert.equal(server.machine.census.connections, 4);
  assert.throws(
    () => server.connectTo(a, 0x300),
    (error: RdmaError) => error.code === 'ERR_RDMA_LIMIT',
  );
});

test('refused requests are remembered in a bounded number', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1', { limits: { maxRemembered: 3 } })];
  server.listen();
  for (let i = 0; i < 10; i++) {
    client.connectTo(server, 0x100 + i);
    server.reject(server.take('request').id);
  }
  assert.equal(server.machine.census.connections, 3);
});

test('a GMP from a group or from nobody is not answered', () => {
  const { hosts, server, req } = world();
  for (const ip of ['224.0.0.1', '255.255.255.255', '0.0.0.0', 'ff02::1', '::']) {
    server.hear(writeCmMessage(req), cmAddress(ip));
    server.hear(
      writeCmMessage({
        type: 'DREQ',
        transactionId: 1n,
        localCommId: 1,
        remoteCommId: 2,
        qpn: 3,
        privateData: new Uint8Array(0),
      }),
      cmAddress(ip),
    );
  }
  assert.deepEqual(hosts.types(), []);
});

test('messages for nobody, from the wrong address or in the wrong state are counted and do nothing', () => {
  const { hosts, client, server, req } = world();
  const live = client.connectTo(server, 0x500);
  const { localCommId } = cmMessage(hosts.last('REQ')) as Req;
  const request = server.take('request');
  hosts.types();
  const none = { transactionId: 1n, privateData: new Uint8Array(0) };
  const hear = (
    host: CmTestHost,
    message: Parameters<typeof writeCmMessage>[0],
    from = server.address,
  ): void => host.hear(writeCmMessage(message), from);
  hear(client, { type: 'RTU', ...none, localCommId: 1, remoteCommId: 2 });
  hear(client, { type: 'DREP', ...none, localCommId: 1, remoteCommId: 2 });
  hear(client, { type: 'MRA', ...none, localCommId: 1, remoteCommId: 2, subject: 0, serviceTimeout: 1 });
  const rej = {
    type: 'REJ',
    ...none,
    localCommId: 1,
    subject: 0,
    reason: 28,
    info: new Uint8Array(0),
  } as const;
  hear(client, { ...rej, remoteCommId: 2 });
  hear(client, { ...rej, remoteCommId: 2, reason: 4, info: new Uint8Array(8) });
  assert.equal(client.drops('unknown_id'), 5);
  hear(client, { ...rej, remoteCommId: localCommId }, cmAddress('10.0.0.77'));
  hear(client, { type: 'RTU', ...none, localCommId: 1, remoteCommId: localCommId }, cmAddress('10.0.0.77'));
  assert.equal(client.drops('wrong_source'), 2);
  hear(client, { type: 'RTU', ...none, localCommId: 1, remoteCommId: localCommId });
  hear(client, {
    type: 'MRA',
    ...none,
    localCommId: 1,
    remoteCommId: localCommId,
    subject: 1,
    serviceTimeout: 1,
  });
  hear(client, { ...rej, remoteCommId: localCommId, subject: 1 });
  assert.equal(client.drops('bad_state'), 3);
  assert.equal(client.machine.stateOf(live), 'req-sent');
  assert.deepEqual([hosts.types(), client.events], [[], []]);
  server.hear(writeCmMessage({ ...req, localCommId: 0 }), client.address);
  server.hear(new Uint8Array(255), client.address);
  assert.deepEqual([server.drops('bad_id'), server.drops('bad_length')], [1, 1]);
  assert.equal(server.machine.stateOf(request.id), 'req-received');
});
