/**
 * Whole meetings with Linux, from the messages that it sent: only what the other end chose (its communication ID, its
 * transaction ID, and its queue pair in a DREQ) is put in as this end chose it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { writeU64 } from '../../../src/roce/mad/u64.js';
import { writeU24, writeU32 } from '../../../src/roce/wire/bytes.js';
import { CmHosts, cmAddress, cmMessage } from '../../../testkit/cm-hosts.js';
import { capturedPacket, madOf } from '../../../testkit/cm-packets.js';

const [SERVER, CLIENT] = ['10.88.0.1', '10.88.0.2'];
const OWN_QPN = 0x456;

/** A captured message for the communication ID of this end. */
function meantFor(name: string, commId: number): Uint8Array {
  const mad = madOf(capturedPacket(name));
  writeU32(mad, 28, commId);
  return mad;
}

/** A captured answer to `req`: Linux repeats its transaction ID. */
function answerOf(name: string, { localCommId, transactionId }: Req): Uint8Array {
  const mad = meantFor(name, localCommId);
  writeU64(mad, 8, transactionId);
  return mad;
}

test('rping of Linux connects, is heard and disconnects', () => {
  const hosts = new CmHosts();
  const [server, client] = [hosts.add(SERVER), cmAddress(CLIENT)];
  server.listen();
  server.hear(madOf(capturedPacket('REQ rping IPv4')), client);
  const { id, path } = server.take('request');
  // What rping begins to send with is what this end chose, and the other way round.
  assert.equal(path.own.psn, 0x494504);
  server.accept(id, OWN_QPN);
  const rep = cmMessage(hosts.last('REP')) as Rep;
  assert.deepEqual(
    [rep.remoteCommId, rep.startingPsn, rep.transactionId],
    [0x24db91c6, path.peer.psn, 0x2c691db24n],
  );
  server.hear(meantFor('RTU rping IPv4', rep.localCommId), client);
  server.take('established');
  const dreq = meantFor('DREQ rping IPv4', rep.localCommId);
  writeU24(dreq, 32, OWN_QPN);
  server.hear(dreq, client);
  const drep = cmMessage(hosts.last('DREP'));
  assert.ok(drep.type === 'DREP');
  assert.deepEqual([drep.localCommId, drep.remoteCommId], [rep.localCommId, 0x24db91c6]);
  assert.equal(drep.transactionId, 0x2c691db24n);
  assert.equal(server.take('disconnected').byPeer, true);
});

test('a server of Linux accepts, is disconnected by this end and answers', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add(CLIENT), cmAddress(SERVER)];
  const peer = { address: server } as Parameters<typeof client.connectTo>[0];
  const id = client.connectTo(peer, OWN_QPN, { privateData: new TextEncoder().encode('hello-from-client') });
  const req = cmMessage(hosts.last('REQ')) as Req;
  assert.deepEqual([req.remoteResponseTimeout, req.localResponseTimeout, req.maxCmRetries], [20, 20, 15]);
  client.hear(answerOf('REP private data', req), server);
  const response = client.take('response');
  assert.deepEqual([response.peer.qpn, response.path.own.psn], [0x15, 0x4c7d8b]);
  assert.equal(new TextDecoder().decode(response.peer.privateData.subarray(0, 17)), 'hello-from-server');
  client.establish(id);
  const rtu = cmMessage(hosts.last('RTU'));
  assert.ok(rtu.type === 'RTU');
  assert.deepEqual(
    [rtu.localCommId, rtu.remoteCommId, rtu.transactionId],
    [req.localCommId, 0xa5cc1012, req.transactionId],
  );
  client.disconnect(id);
  const dreq = cmMessage(hosts.last('DREQ'));
  assert.ok(dreq.type === 'DREQ');
  assert.deepEqual([dreq.qpn, dreq.remoteCommId], [0x15, 0xa5cc1012]);
  const drep = meantFor('DREP rping IPv4', req.localCommId);
  writeU32(drep, 24, 0xa5cc1012);
  client.hear(drep, server);
  assert.deepEqual(client.take('disconnected'), { type: 'disconnected', id, byPeer: false, answered: true });
});

test('a server of Linux says that nobody listens, that its program says no, and that it takes its time', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add(CLIENT), cmAddress(SERVER)];
  const peer = { address: server } as Parameters<typeof client.connectTo>[0];
  const ask = (): Req => {
    client.connectTo(peer, OWN_QPN, { timeoutMillis: 200_000 });
    return cmMessage(hosts.last('REQ')) as Req;
  };
  client.hear(answerOf('REJ no listener', ask()), server);
  assert.equal(client.take('rejected').reason, 8);
  const req = ask();
  client.hear(answerOf('MRA slow accept', req), server);
  hosts.types();
  hosts.pass(29_000);
  assert.deepEqual(hosts.types(), [], 'a server that asks for 65 s has 30');
  client.hear(answerOf('REJ by application with private data', req), server);
  const { reason, privateData } = client.take('rejected');
  assert.equal(reason, 28);
  assert.equal(new TextDecoder().decode(privateData.subarray(0, 7)), 'go-away');
});

test('a client of Linux that gives up takes its request back', () => {
  const hosts = new CmHosts();
  const [server, client] = [hosts.add(SERVER), cmAddress(CLIENT)];
  server.listen();
  const cancel = madOf(capturedPacket('REJ cancel by active side'));
  // The REQ that this cancels was not captured: another one with its communication ID.
  const req = madOf(capturedPacket('REQ rping IPv4'));
  req.set(cancel.subarray(24, 28), 24);
  server.hear(req, client);
  const { id } = server.take('request');
  server.hear(cancel, client);
  assert.equal(server.take('rejected').reason, 4);
  assert.equal(server.accept(id, OWN_QPN), false);
});

test('what Linux does not look at is not looked at here: status, hop limit, LIDs, subnet local', () => {
  const hosts = new CmHosts();
  const [server, client] = [hosts.add(SERVER), cmAddress(CLIENT)];
  server.listen();
  const req = madOf(capturedPacket('REQ rping IPv4'));
  writeU32(req, 4, 0x12340000);
  writeU32(req, 76, 0);
  req[117] = 9;
  req[118] = 8;
  server.hear(req, client);
  server.take('request');
});
