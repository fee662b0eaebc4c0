/** The communication manager between two hosts: one of them has forgotten a connection, or somebody says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { CmHosts, cmMessage } from '../../../testkit/cm-hosts.js';
import { CLIENT_QPN, connected, pair, SERVER_QPN } from './pair.js';

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
