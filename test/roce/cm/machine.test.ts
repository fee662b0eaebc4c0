/** The communication manager between two hosts: how connections begin and end when all messages arrive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CmHandle } from '../../../src/roce/cm/cm-outputs.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import type { SidrReq } from '../../../src/roce/cm/wire/sidr.js';
import { CM_PORT, CmHosts, type CmTestHost, cmMessage } from '../../../testkit/cm-hosts.js';
import { CLIENT_QPN, connected, pair, SERVER_QPN } from './pair.js';

test('a connection comes up, and each end has what the other said', () => {
  const { hosts, client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN, {
    privateData: new TextEncoder().encode('hello'),
    sourcePort: 50_000,
  });
  const request = server.take('request');
  assert.deepEqual(request.remote, { host: '10.0.0.2', port: 50_000 });
  assert.deepEqual(request.local, { host: '10.0.0.1', port: CM_PORT });
  assert.equal(request.peer.privateData.length, 56);
  assert.equal(new TextDecoder().decode(request.peer.privateData.subarray(0, 5)), 'hello');
  assert.deepEqual([request.path.peer.gid, request.path.peer.qpn], ['::ffff:10.0.0.2', CLIENT_QPN]);
  assert.equal(server.accept(request.id, SERVER_QPN, 'welcome'), true);
  const response = client.take('response');
  assert.equal(response.id, id);
  assert.equal(response.peer.privateData.length, 196);
  assert.equal(response.path.peer.qpn, SERVER_QPN);
  // The PSN that one end begins to send with is the one that the other expects.
  assert.equal(request.path.own.psn, response.path.peer.psn);
  assert.equal(request.path.peer.psn, response.path.own.psn);
  assert.equal(client.establish(id), true);
  assert.equal(server.take('established').id, request.id);
  assert.deepEqual(hosts.types(), ['REQ', 'REP', 'RTU']);
  assert.deepEqual([client.events, server.events], [[], []]);
  hosts.pass(1_000_000);
  assert.deepEqual(hosts.types(), [], 'nothing more is sent');
});

test('either side ends it with DREQ and DREP, and queue pair numbers come back after two seconds', () => {
  for (const first of [0, 1]) {
    const { hosts, client, server } = pair();
    const ids = connected(client, server);
    hosts.types();
    const [ender, other] = first === 0 ? [client, server] : [server, client];
    assert.equal(ender.disconnect(ids[first] as CmHandle), true);
    assert.deepEqual(hosts.types(), ['DREQ', 'DREP']);
    const ended = { type: 'disconnected', answered: true } as const;
    assert.deepEqual(ender.take('disconnected'), { ...ended, id: ids[first], byPeer: false });
    assert.deepEqual(other.take('disconnected'), { ...ended, id: ids[1 - first], byPeer: true });
    assert.equal(ender.disconnect(ids[first] as CmHandle), true, 'idempotent');
    hosts.pass(2047);
    assert.deepEqual([client.events, server.events], [[], []]);
    hosts.pass(1);
    assert.deepEqual(client.take('released'), { type: 'released', id: ids[0], qpn: CLIENT_QPN });
    assert.deepEqual(server.take('released'), { type: 'released', id: ids[1], qpn: SERVER_QPN });
    assert.equal(client.machine.census.connections + server.machine.census.connections, 0);
  }
});

test('a packet on the queue pair is as good as an RTU', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'RTU';
  const id = client.connectTo(server, CLIENT_QPN);
  const request = server.take('request');
  server.accept(request.id, SERVER_QPN);
  client.take('response');
  client.establish(id);
  assert.equal(server.establish(request.id), true);
  server.take('established');
  assert.equal(server.establish(request.id), false);
  hosts.pass(20_000);
  assert.equal(hosts.types().filter((type) => type === 'REP').length, 1);
});

test('a rejected client has reason and private data, and asking again gives the same answer', () => {
  const { hosts, client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN);
  const req = hosts.last('REQ');
  assert.equal(server.reject(server.take('request').id, 'go away'), true);
  const rejected = client.take('rejected');
  assert.deepEqual([rejected.id, rejected.reason, rejected.privateData.length], [id, 28, 148]);
  assert.equal(new TextDecoder().decode(rejected.privateData.subarray(0, 7)), 'go away');
  hosts.types();
  server.hear(req, client.address);
  assert.deepEqual(hosts.types(), ['REJ']);
  assert.deepEqual([server.events, server.drops('duplicate')], [[], 1]);
});

test('a client that closes while it asks takes the request back', () => {
  const { client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN);
  const request = server.take('request');
  client.close(id);
  const { reason, info } = server.take('rejected');
  assert.deepEqual([reason, info.length], [4, 8]);
  assert.equal(server.accept(request.id, SERVER_QPN), false);
  assert.equal(server.machine.census.halfOpen, 0);
  assert.deepEqual(client.events, [], 'who closes is told nothing');
});

test('a client that is rejected by its own program after the REP tells the server', () => {
  const { client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN);
  const request = server.take('request');
  server.accept(request.id, SERVER_QPN);
  client.take('response');
  assert.equal(client.reject(id), true);
  assert.deepEqual([server.take('rejected').reason, server.machine.census.halfOpen], [28, 0]);
});

test('crossing DREQs are both answered, and each end is told once', () => {
  const { hosts, client, server } = pair();
  const [a, b] = connected(client, server);
  hosts.types();
  client.machine.disconnect(a, hosts.now);
  server.machine.disconnect(b, hosts.now);
  hosts.settle();
  assert.deepEqual(hosts.types(), ['DREQ', 'DREQ', 'DREP', 'DREP']);
  assert.equal(client.take('disconnected').byPeer, true);
  assert.equal(server.take('disconnected').byPeer, true);
});

test('a REP counts from the address that was asked only', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'REP';
  const id = client.connectTo(server, CLIENT_QPN);
  server.accept(server.take('request').id, SERVER_QPN);
  client.hear(hosts.last('REP').slice());
  assert.deepEqual([client.events, client.drops('wrong_source')], [[], 1]);
  client.hear(hosts.last('REP').slice(), server.address);
  assert.equal(client.take('response').id, id);
});

test('communication IDs are never 0, and never those of another connection or lookup', () => {
  const hosts = new CmHosts();
  // Numbers that come again all the time.
  let count = 0;
  const host = hosts.add('10.0.0.2', { random: () => (count = (count + 1) & 15) });
  const ids = new Set<number>();
  const peer = hosts.add('10.0.0.1');
  for (let i = 0; i < 12; i++) {
    if (i % 2 === 0) {
      host.connectTo(peer, 0x100 + i);
      ids.add((cmMessage(hosts.last('REQ')) as Req).localCommId);
    } else {
      const options = {
        serviceId: 0x1110007n,
        remote: peer.address,
        local: host.address,
        timeoutMillis: 1e6,
      };
      hosts.arrives = () => false;
      host.run(() => host.machine.lookUp({ ...options, privateData: new Uint8Array(0) }, hosts.now));
      ids.add((cmMessage(hosts.last('SIDR_REQ')) as SidrReq).requestId);
    }
  }
  assert.deepEqual([ids.size, ids.has(0)], [12, false]);
});

test('two hosts that ask each other at once have two connections', () => {
  const { hosts, client, server } = pair();
  client.listen();
  client.machine.connect({ ...askFor(server, client, 0x10) }, hosts.now);
  server.machine.connect({ ...askFor(client, server, 0x20) }, hosts.now);
  hosts.settle();
  client.accept(client.take('request').id, 0x11);
  server.accept(server.take('request').id, 0x21);
  client.establish(client.take('response').id);
  server.establish(server.take('response').id);
  client.take('established');
  server.take('established');
});

const askFor = (remote: CmTestHost, local: CmTestHost, qpn: number) => ({
  ...{
    responderResources: 1,
    initiatorDepth: 1,
    retryCount: 7,
    rnrRetryCount: 7,
    flowControl: false,
    srq: false,
  },
  ...{ qpn: qpn as never, privateData: new Uint8Array(0), mtu: 1024 as const, timeoutMillis: 5000 },
  ...{ serviceId: 0x1061c06n, remote: remote.address, local: local.address },
});

test('a host can connect to itself', () => {
  const hosts = new CmHosts();
  const host = hosts.add('10.0.0.1');
  host.listen();
  const id = host.connectTo(host, CLIENT_QPN);
  host.accept(host.take('request').id, SERVER_QPN);
  host.take('response');
  host.establish(id);
  host.take('established');
  host.disconnect(id);
  assert.equal(host.events.filter(({ type }) => type === 'disconnected').length, 2);
});

test('a host that ends says one word to every peer and keeps nothing', () => {
  const { hosts, client, server } = pair();
  connected(client, server);
  client.connectTo(server, 0x300);
  const request = server.take('request');
  client.connectTo(server, 0x301);
  server.accept(server.take('request').id, 0x302);
  hosts.types();
  client.run(() => client.machine.end(hosts.now));
  assert.deepEqual(
    hosts
      .types()
      .filter((type) => type !== 'DREP')
      .sort(),
    ['DREQ', 'REJ', 'REJ'],
  );
  assert.deepEqual(client.machine.census, { connections: 0, halfOpen: 0, lookups: 0, listeners: 0 });
  assert.equal(client.machine.nextDeadline, Number.POSITIVE_INFINITY);
  assert.equal(server.accept(request.id, 0x303), false);
  server.take('disconnected');
});

test('a device that is not on the standard port says so, and is answered there', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('127.0.0.1'), hosts.add('127.0.0.2')];
  client.machine.setAddresses([{ ...client.address, port: 5001 }]);
  server.listen();
  client.connectTo(server, CLIENT_QPN);
  const { path } = server.take('request');
  assert.equal(path.peer.udpPort, 5001);
  const { send } = hosts.sent.at(-1) as { send: { mad: Uint8Array } };
  assert.deepEqual([...send.mad.subarray(6, 8)], [5001 >>> 8, 5001 & 255]);
});
