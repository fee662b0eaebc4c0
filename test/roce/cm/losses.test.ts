/** The communication manager between two hosts: messages that get lost or come twice, and programs that let others wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Dreq, Mra } from '../../../src/roce/cm/wire/pair-messages.js';
import type { Rej } from '../../../src/roce/cm/wire/rej.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { cmMessage } from '../../../testkit/cm-hosts.js';
import { CLIENT_QPN, connected, pair, SERVER_QPN } from './pair.js';

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
