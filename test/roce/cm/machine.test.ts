/** The communication manager between two hosts: the normal course, and whatever may get lost or come twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CmHandle, CmMachineOptions } from '../../../src/roce/cm/cm-outputs.js';
import { writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Dreq, Mra } from '../../../src/roce/cm/wire/pair-messages.js';
import type { Rej } from '../../../src/roce/cm/wire/rej.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import type { SidrReq } from '../../../src/roce/cm/wire/sidr.js';
import { CM_PORT, CmHosts, type CmTestHost, cmMessage } from '../../../testkit/cm-hosts.js';

const [CLIENT_QPN, SERVER_QPN] = [0x100, 0x200];

function pair(options?: Partial<CmMachineOptions>) {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2', options), hosts.add('10.0.0.1', options)];
  server.listen();
  return { hosts, client, server };
}

/** Two ends that have just become connected. */
function connected(
  client: CmTestHost,
  server: CmTestHost,
  qpns = [CLIENT_QPN, SERVER_QPN],
): [CmHandle, CmHandle] {
  const id = client.connectTo(server, qpns[0] as number);
  const request = server.take('request');
  server.accept(request.id, qpns[1] as number);
  client.take('response');
  client.establish(id);
  server.take('established');
  return [id, request.id];
}

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

test('a lost REQ goes out again after a second, byte for byte', () => {
  const { hosts, client, server } = pair();
  let lost = 0;
  hosts.arrives = ({ type }) => type !== 'REQ' || lost++ >= 2;
  client.connectTo(server, CLIENT_QPN);
  hosts.pass(2000);
  const [first, second, third] = hosts.sent.map(({ send }) => send.mad);
  assert.deepEqual([second, third], [first, first]);
  server.take('request');
});

test('without an answer the client gives up in its time, says so, and refuses a late REP', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'REQ';
  const id = client.connectTo(server, CLIENT_QPN, { timeoutMillis: 3500 });
  const req = cmMessage(hosts.last('REQ')) as Req;
  hosts.pass(3500);
  assert.deepEqual(hosts.types(), ['REQ', 'REQ', 'REQ', 'REQ', 'REJ']);
  assert.deepEqual(client.take('unreachable'), { type: 'unreachable', id });
  const rep: Rep = {
    type: 'REP',
    transactionId: req.transactionId,
    localCommId: 7,
    remoteCommId: req.localCommId,
    qpn: 5,
    startingPsn: 1,
    responderResources: 0,
    initiatorDepth: 0,
    ackDelay: 15,
    flowControl: false,
    rnrRetryCount: 7,
    hasSrq: false,
    caGuid: 3n,
    privateData: new Uint8Array(0),
  };
  client.hear(writeCmMessage(rep), server.address);
  const rej = cmMessage(hosts.last('REJ')) as Rej;
  assert.deepEqual([rej.reason, rej.subject, rej.remoteCommId], [4, 1, 7]);
});

test('a lost REP goes out again, and a repeated REQ gets it at once', () => {
  const { hosts, client, server } = pair();
  let lost = 0;
  hosts.arrives = ({ type }) => type !== 'REP' || lost++ >= 1;
  client.connectTo(server, CLIENT_QPN);
  hosts.pass(500);
  server.accept(server.take('request').id, SERVER_QPN);
  hosts.pass(500);
  client.take('response');
  assert.deepEqual(hosts.types(), ['REQ', 'REP', 'REQ', 'REP']);
});

test('a lost RTU is said again when the REP comes again', () => {
  const { hosts, client, server } = pair();
  let lost = 0;
  hosts.arrives = ({ type }) => type !== 'RTU' || lost++ >= 1;
  const id = client.connectTo(server, CLIENT_QPN);
  server.accept(server.take('request').id, SERVER_QPN);
  client.take('response');
  client.establish(id);
  assert.equal(server.machine.counters.established, 0);
  hosts.pass(1000);
  server.take('established');
  assert.deepEqual(hosts.types(), ['REQ', 'REP', 'RTU', 'REP', 'RTU']);
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

test('a REP that is never answered comes to an end, and the client is told', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'RTU';
  const id = client.connectTo(server, CLIENT_QPN);
  const request = server.take('request');
  server.accept(request.id, SERVER_QPN);
  client.take('response');
  client.establish(id);
  hosts.pass(16_000);
  assert.deepEqual(server.take('unreachable'), { type: 'unreachable', id: request.id });
  assert.equal(hosts.types().filter((type) => type === 'REP').length, 5);
  const { reason } = client.take('rejected');
  assert.equal(reason, 4);
});

test('a program that takes its time makes the client wait longer, and not for ever', () => {
  const { hosts, client, server } = pair();
  client.connectTo(server, CLIENT_QPN, { timeoutMillis: 60_000 });
  hosts.pass(1000);
  assert.deepEqual(hosts.types(), ['REQ', 'REQ', 'MRA']);
  hosts.pass(8000);
  assert.deepEqual(hosts.types(), []);
  const request = server.take('request');
  server.accept(request.id, SERVER_QPN);
  const response = client.take('response');
  hosts.types();
  hosts.pass(1000);
  assert.deepEqual(hosts.types(), ['REP', 'MRA'], 'the client’s program takes its time too');
  client.establish(response.id);
  server.take('established');
});

test('an MRA that asks for days gets half a minute', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'REQ';
  client.connectTo(server, CLIENT_QPN, { timeoutMillis: 70_000 });
  const { localCommId, transactionId } = cmMessage(hosts.last('REQ')) as Req;
  const mra: Mra = {
    type: 'MRA',
    transactionId,
    localCommId: 9,
    remoteCommId: localCommId,
    subject: 0,
    serviceTimeout: 31,
    privateData: new Uint8Array(0),
  };
  client.hear(writeCmMessage(mra), server.address);
  hosts.types();
  hosts.pass(29_999);
  assert.deepEqual(hosts.types(), []);
  hosts.pass(1);
  assert.deepEqual(hosts.types(), ['REQ']);
  hosts.pass(40_000);
  client.take('unreachable');
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

test('a REJ of the active side that is lost is said again when the REP comes again', () => {
  for (const refuse of ['reject', 'close'] as const) {
    const { hosts, client, server } = pair();
    let lost = 0;
    hosts.arrives = ({ type }) => type !== 'REJ' || lost++ >= 1;
    const id = client.connectTo(server, CLIENT_QPN);
    server.accept(server.take('request').id, SERVER_QPN);
    client.take('response');
    client[refuse](id);
    const first = hosts.last('REJ');
    hosts.pass(3000);
    assert.deepEqual(hosts.last('REJ'), first);
    assert.deepEqual([server.take('rejected').reason, server.machine.census.halfOpen], [28, 0]);
  }
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

test('a lost DREP is sent again from timewait, and by the rule of unknown IDs after that', () => {
  const { hosts, client, server } = pair();
  const [a] = connected(client, server);
  let lost = 0;
  hosts.arrives = ({ type }) => type !== 'DREP' || lost++ >= 3;
  hosts.types();
  client.disconnect(a);
  hosts.pass(3000);
  assert.equal(client.take('disconnected').answered, true);
  assert.deepEqual(hosts.types(), ['DREQ', 'DREP', 'DREQ', 'DREP', 'DREQ', 'DREP', 'DREQ', 'DREP']);
  assert.equal(server.drops('unknown_id'), 1, 'the last one');
});

test('a dead peer ends a disconnect after five tries', () => {
  const { hosts, client, server } = pair();
  const [a] = connected(client, server);
  hosts.arrives = () => false;
  hosts.types();
  client.disconnect(a);
  hosts.pass(5000);
  assert.deepEqual(hosts.types(), Array(5).fill('DREQ'));
  assert.deepEqual(client.take('disconnected'), {
    type: 'disconnected',
    id: a,
    byPeer: false,
    answered: false,
  });
});

test('a DREQ for another queue pair has no effect and no answer; one for unknown IDs is answered', () => {
  const { hosts, client, server } = pair();
  const [a] = connected(client, server);
  hosts.arrives = ({ type }) => type !== 'DREQ';
  client.machine.disconnect(a, hosts.now);
  hosts.settle();
  const dreq = cmMessage(hosts.last('DREQ')) as Dreq;
  hosts.types();
  server.hear(writeCmMessage({ ...dreq, qpn: dreq.qpn + 1 }), client.address);
  assert.deepEqual([hosts.types(), server.events, server.drops('wrong_qpn')], [[], [], 1]);
  server.hear(writeCmMessage(dreq));
  assert.deepEqual([hosts.types(), server.events, server.drops('wrong_source')], [[], [], 1]);
  server.hear(writeCmMessage({ ...dreq, localCommId: 1, remoteCommId: 2, transactionId: 77n }));
  const drep = cmMessage(hosts.last('DREP'));
  assert.ok(drep.type === 'DREP');
  assert.deepEqual([drep.localCommId, drep.remoteCommId, drep.transactionId], [2, 1, 77n]);
  assert.deepEqual(server.events, []);
});

test('a client that came back with the old queue pair is refused as stale, and the leftover ends', () => {
  const { hosts, client, server } = pair();
  connected(client, server);
  // The same host with the same GUID has forgotten everything.
  const again = new CmHosts().add(client.ip);
  again.machine.connect(
    {
      ...{
        responderResources: 1,
        initiatorDepth: 1,
        retryCount: 7,
        rnrRetryCount: 7,
        flowControl: false,
        srq: false,
      },
      qpn: CLIENT_QPN as never,
      privateData: new Uint8Array(0),
      serviceId: (cmMessage(hosts.last('REQ')) as Req).serviceId,
      remote: server.address,
      local: client.address,
      mtu: 1024,
      timeoutMillis: 5000,
    },
    0,
  );
  const output = again.machine.takeOutput();
  assert.ok(output?.type === 'send');
  const req = cmMessage(output.mad) as Req;
  const { caGuid } = cmMessage(hosts.last('REQ')) as Req;
  hosts.types();
  hosts.arrives = () => false;
  server.hear(writeCmMessage({ ...req, caGuid, localCommId: req.localCommId ^ 1 }), client.address);
  assert.deepEqual(hosts.types(), ['REJ', 'REP']);
  assert.deepEqual(server.events, [], 'the peer may still have it');
  hosts.pass(4000);
  assert.deepEqual(hosts.types(), ['REP', 'REP', 'REP', 'DREQ']);
  assert.equal(server.take('disconnected').byPeer, true);
  assert.equal(server.drops('stale'), 1);
});

test('a REQ that is forged in the name of a peer who lives ends nothing, however often it comes', () => {
  const { hosts, client, server } = pair();
  connected(client, server);
  const req = cmMessage(hosts.last('REQ')) as Req;
  hosts.types();
  for (let round = 1; round <= 3; round++) {
    // The first REP on its way to the peer is lost.
    let lost = 0;
    hosts.arrives = ({ type }) => type !== 'REJ' && (type !== 'REP' || lost++ >= 1);
    const forged = { ...req, localCommId: req.localCommId + round, transactionId: BigInt(round) };
    server.hear(writeCmMessage(forged), client.address);
    server.hear(writeCmMessage({ ...forged, localCommId: 99 }), client.address);
    hosts.pass(60_000);
    assert.deepEqual(hosts.types(), ['REJ', 'REP', 'REJ', 'REP', 'RTU']);
    assert.deepEqual([server.events, client.events], [[], []]);
  }
  assert.equal(server.machine.census.connections, 1);
});

test('a server whose queue pair has a connection already is refused as stale, and a better REP is taken', () => {
  const { hosts, client, server } = pair();
  connected(client, server);
  const id = client.connectTo(server, CLIENT_QPN + 1);
  hosts.arrives = () => false;
  server.accept(server.take('request').id, SERVER_QPN);
  const rep = cmMessage(hosts.last('REP')) as Rep;
  hosts.types();
  client.hear(writeCmMessage(rep), server.address);
  assert.deepEqual(hosts.types(), ['REJ', 'DREQ']);
  assert.equal(client.take('disconnected').byPeer, true);
  client.hear(writeCmMessage({ ...rep, qpn: rep.qpn + 1 }), server.address);
  assert.equal(client.take('response').id, id);
});

test('a REQ with the ID of a connection that its sender has forgotten is no repetition', () => {
  const { hosts, client, server } = pair();
  connected(client, server);
  const req = cmMessage(hosts.last('REQ')) as Req;
  hosts.types();
  hosts.arrives = () => false;
  const other = {
    ...req,
    transactionId: req.transactionId ^ 1n,
    startingPsn: req.startingPsn ^ 1,
    qpn: 0x123,
  };
  server.hear(writeCmMessage(other), client.address);
  assert.deepEqual(hosts.types(), ['REJ', 'REP']);
  hosts.pass(4000);
  assert.equal(server.take('disconnected').byPeer, true);
  hosts.pass(5000);
  server.hear(writeCmMessage(other), client.address);
  assert.equal(server.take('request').path.peer.psn >= 0, true, 'what rests can be forgotten by that name');
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

test('a request that its program never answers ends, and so does a response', () => {
  const { hosts, client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN, { timeoutMillis: 1_000_000 });
  const request = server.take('request');
  hosts.pass(120_000);
  assert.deepEqual(server.take('unreachable'), { type: 'unreachable', id: request.id });
  assert.equal(client.take('rejected').id, id);
  const second = client.connectTo(server, CLIENT_QPN + 1);
  server.accept(server.take('request').id, SERVER_QPN);
  client.take('response');
  hosts.pass(60_000);
  assert.deepEqual(client.take('unreachable'), { type: 'unreachable', id: second });
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
