/** Messages of somebody who knows some of the numbers of a connection, and not all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CmSubject } from '../../../src/roce/cm/wire/attributes.js';
import { type CmMessage, writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import type { SidrReq } from '../../../src/roce/cm/wire/sidr.js';
import { writeU64 } from '../../../src/roce/mad/u64.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import { CM_PORT, CmHosts, cmMessage } from '../../../testkit/cm-hosts.js';

const CLIENT_QPN = 0x11;
const SERVER_QPN = 0x22;
const NOTHING = new Uint8Array(0);
const TIMEOUT = 4;

function pair() {
  const hosts = new CmHosts();
  const server = hosts.add('10.0.0.1');
  const client = hosts.add('10.0.0.2');
  server.listen();
  return { hosts, server, client };
}

test('an answer to a REQ counts with the transaction ID of the REQ alone: the ID is not all that must be guessed', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type !== 'REQ';
  const id = client.connectTo(server, CLIENT_QPN);
  const { localCommId, transactionId } = cmMessage(hosts.last('REQ')) as Req;
  const about = {
    transactionId: transactionId ^ 1n,
    localCommId: 7,
    remoteCommId: localCommId,
    privateData: NOTHING,
  };
  const rep: Rep = {
    ...about,
    type: 'REP',
    qpn: 5,
    startingPsn: 1,
    responderResources: 0,
    initiatorDepth: 0,
    ackDelay: 15,
    flowControl: false,
    rnrRetryCount: 7,
    hasSrq: false,
    caGuid: 3n,
  };
  const forged: CmMessage[] = [
    rep,
    { ...about, type: 'REJ', subject: CmSubject.REQ, reason: 28, info: NOTHING },
    { ...about, type: 'REJ', subject: CmSubject.OTHER, localCommId: 0, reason: 28, info: NOTHING },
    { ...about, type: 'MRA', subject: CmSubject.REQ, serviceTimeout: 31 },
  ];
  hosts.types();
  for (const message of forged) client.hear(writeCmMessage(message), server.address);
  assert.deepEqual([client.events, client.machine.stateOf(id)], [[], 'req-sent']);
  assert.equal(client.drops('wrong_transaction'), forged.length);
  assert.deepEqual(hosts.types(), []);
  hosts.pass(1000);
  assert.deepEqual(hosts.types(), ['REQ'], 'and the REQ goes out as before');
  client.hear(writeCmMessage({ ...rep, transactionId }), server.address);
  assert.equal(client.take('response').id, id);
});

test('an answer to a lookup counts with its transaction ID alone', () => {
  const { hosts, client, server } = pair();
  const serviceId = serviceIdOf(PortSpace.UDP, CM_PORT);
  hosts.arrives = () => false;
  client.run(() =>
    client.machine.lookUp(
      { serviceId, remote: server.address, local: client.address, privateData: NOTHING, timeoutMillis: 5000 },
      hosts.now,
    ),
  );
  const { requestId, transactionId } = cmMessage(hosts.last('SIDR_REQ')) as SidrReq;
  const rep = {
    type: 'SIDR_REP',
    requestId,
    serviceId,
    status: 0,
    qpn: 9,
    qkey: 5,
    privateData: NOTHING,
  } as const;
  client.hear(writeCmMessage({ ...rep, transactionId: transactionId + 1n }), server.address);
  assert.deepEqual([client.events, client.drops('wrong_transaction')], [[], 1]);
  client.hear(writeCmMessage({ ...rep, transactionId }), server.address);
  assert.equal(client.take('lookup-answer').qpn, 9);
});

test('who takes a request back knows its own ID; a connection that is up is ended by both', () => {
  const { hosts, client, server } = pair();
  const id = client.connectTo(server, CLIENT_QPN);
  const req = cmMessage(hosts.last('REQ')) as Req;
  const request = server.take('request');
  server.accept(request.id, SERVER_QPN);
  client.establish(client.take('response').id);
  server.take('established');
  const { localCommId: remoteCommId } = cmMessage(hosts.last('REP')) as Rep;
  const info = new Uint8Array(8);
  writeU64(info, 0, req.caGuid);
  const cancel = {
    type: 'REJ',
    transactionId: req.transactionId,
    localCommId: req.localCommId,
    remoteCommId: 0,
    subject: CmSubject.OTHER,
    reason: TIMEOUT,
    info,
    privateData: NOTHING,
  } as const;
  server.hear(writeCmMessage(cancel), client.address);
  assert.deepEqual([server.events, server.machine.stateOf(request.id)], [[], 'established']);
  assert.equal(server.drops('unknown_id'), 1);
  server.hear(writeCmMessage({ ...cancel, remoteCommId }), client.address);
  assert.equal(server.take('rejected').reason, TIMEOUT);
  assert.equal(client.machine.stateOf(id), 'established');
});

test('a REP for somebody who is never heard goes out five times, ever less often, and then one REJ', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type, from }) => type === 'REQ' && from === client;
  client.connectTo(server, CLIENT_QPN, { timeoutMillis: 500 });
  const times: number[] = [];
  const { id } = server.take('request');
  server.accept(id, SERVER_QPN);
  const from = hosts.now;
  hosts.types();
  for (let second = 0; second < 30; second++) {
    const count = hosts.sent.length;
    hosts.pass(1000);
    if (hosts.sent.length > count) times.push((hosts.now - from) / 1000);
  }
  assert.deepEqual(times, [1, 3, 7, 11, 15]);
  assert.deepEqual(
    hosts.sent.filter((transit) => transit.from === server).map(({ type }) => type),
    ['REP', 'REP', 'REP', 'REP', 'REJ'],
  );
  server.take('unreachable');
});

test('a peer that asks for patience was heard, and gets as many REPs as it asked for', () => {
  const { hosts, client, server } = pair();
  hosts.arrives = ({ type }) => type === 'REQ';
  client.connectTo(server, CLIENT_QPN, { timeoutMillis: 500 });
  const req = cmMessage(hosts.last('REQ')) as Req;
  server.accept(server.take('request').id, SERVER_QPN);
  const { localCommId: remoteCommId } = cmMessage(hosts.last('REP')) as Rep;
  const mra = { type: 'MRA', subject: CmSubject.REP, serviceTimeout: 16, privateData: NOTHING } as const;
  const names = { transactionId: req.transactionId, localCommId: req.localCommId, remoteCommId };
  server.hear(writeCmMessage({ ...mra, ...names }), client.address);
  hosts.types();
  hosts.pass(110_000);
  assert.equal(hosts.types().filter((type) => type === 'REP').length, req.maxCmRetries);
});

test('when there is no room, who has been silent for longest since its REP gives way', () => {
  const hosts = new CmHosts();
  const limits = { maxHalfOpen: 2 };
  const server = hosts.add('10.0.0.1', { limits });
  const [honest, ...silent] = [2, 3, 4, 5].map((number) => hosts.add(`10.0.0.${number}`));
  server.listen();
  hosts.arrives = ({ from, send }) => from !== server || send.destination.w3 === honest?.address.w3;
  for (const [index, host] of silent.entries()) {
    host.connectTo(server, CLIENT_QPN);
    server.accept(server.take('request').id, SERVER_QPN + index);
  }
  server.take('unreachable');
  assert.equal(server.machine.census.halfOpen, 2);
  honest?.connectTo(server, CLIENT_QPN);
  server.accept(server.take('request').id, 0x33);
  honest?.establish(honest.take('response').id);
  server.take('established');
  assert.deepEqual([server.machine.counters.evicted, server.drops('no_resources')], [2, 0]);
});

test('an address that has all that it may does not drive others out', () => {
  const hosts = new CmHosts();
  const server = hosts.add('10.0.0.1', { limits: { maxHalfOpen: 2, maxHalfOpenOfSource: 1 } });
  const [first, second] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.3')];
  server.listen();
  hosts.arrives = ({ from }) => from !== server;
  for (const host of [first, second]) {
    host.connectTo(server, CLIENT_QPN);
    server.accept(server.take('request').id, SERVER_QPN + hosts.hosts.indexOf(host));
  }
  second.connectTo(server, CLIENT_QPN + 1);
  assert.deepEqual([server.events, server.drops('source_limit')], [[], 1]);
  assert.equal(server.machine.counters.evicted, 0);
});
