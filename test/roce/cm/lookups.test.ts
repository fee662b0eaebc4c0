/** Looking datagram services up (SIDR). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CmLookupOptions } from '../../../src/roce/cm/cm-outputs.js';
import { writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import type { SidrRep, SidrReq } from '../../../src/roce/cm/wire/sidr.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import type { RdmaError } from '../../../src/verbs/errors.js';
import { CmHosts, cmAddress, cmMessage } from '../../../testkit/cm-hosts.js';
import { capturedPacket, madOf } from '../../../testkit/cm-packets.js';

const SERVICE = serviceIdOf(PortSpace.UDP, 7474);
const UDP_QKEY = 0x01234567;
const LINUX_REPEAT_MILLIS = 4096;

function world() {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1')];
  const ask = (options: Partial<CmLookupOptions> = {}): number => {
    const base = { serviceId: SERVICE, remote: server.address, local: client.address, timeoutMillis: 5000 };
    const wanted = { ...base, privateData: new TextEncoder().encode('ud-client'), ...options };
    return client.run(() => client.machine.lookUp(wanted, hosts.now));
  };
  const answer = (id: number, status = 0, privateData = new TextEncoder().encode('ud-server')): boolean => {
    const found = status === 0 ? { qpn: 0x17, qkey: UDP_QKEY } : { qpn: 0, qkey: 0 };
    return server.run(() => server.machine.answerLookup(id, { status, ...found, privateData }, hosts.now));
  };
  return { hosts, client, server, ask, answer };
}

test('a lookup finds queue pair, key and private data, and nothing is left of it', () => {
  const { hosts, client, server, ask, answer } = world();
  const listener = server.listen({ serviceId: SERVICE, forDatagrams: true });
  const id = ask({ sourcePort: 9 });
  const request = server.take('lookup-request');
  assert.deepEqual([request.listener, request.remote], [listener, { host: '10.0.0.2', port: 9 }]);
  assert.equal(request.privateData.length, 180);
  assert.equal(answer(request.id), true);
  const found = client.take('lookup-answer');
  assert.deepEqual([found.id, found.status, found.qpn, found.qkey], [id, 0, 0x17, UDP_QKEY]);
  assert.equal(found.privateData.length, 136);
  assert.equal(answer(request.id), false, 'once');
  hosts.pass(10_000);
  assert.deepEqual([client.machine.census.lookups, server.machine.census.lookups], [0, 0]);
  assert.deepEqual(hosts.types(), ['SIDR_REQ', 'SIDR_REP']);
});

test('nobody listens: status 1; the program says no: status 2 with private data', () => {
  const { client, server, ask, answer } = world();
  ask();
  assert.equal(client.take('lookup-answer').status, 1);
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  ask();
  answer(server.take('lookup-request').id, 2, new TextEncoder().encode('ud-no'));
  const refused = client.take('lookup-answer');
  assert.equal(refused.status, 2);
  assert.equal(new TextDecoder().decode(refused.privateData.subarray(0, 5)), 'ud-no');
});

test('a service for connections answers a lookup with status 2', () => {
  const { client, server, ask } = world();
  server.listen({ serviceId: SERVICE });
  ask();
  assert.equal(client.take('lookup-answer').status, 2);
});

test('a question that comes twice is one request, and its answer is repeated', () => {
  const { hosts, client, server, ask, answer } = world();
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  let lost = 0;
  hosts.arrives = ({ type }) => type !== 'SIDR_REP' || lost++ >= 1;
  ask();
  const request = server.take('lookup-request');
  hosts.pass(1000);
  assert.equal(server.drops('duplicate'), 1);
  answer(request.id);
  hosts.pass(1000);
  client.take('lookup-answer');
  assert.deepEqual(hosts.types(), ['SIDR_REQ', 'SIDR_REQ', 'SIDR_REP', 'SIDR_REQ', 'SIDR_REP']);
  assert.deepEqual(server.events, []);
});

test('a client that asks again as seldom as Linux gets the answer of before, even when two were lost', () => {
  const { hosts, client, server, ask, answer } = world();
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  hosts.arrives = ({ type }) => type !== 'SIDR_REP';
  ask();
  answer(server.take('lookup-request').id);
  const question = hosts.last('SIDR_REQ').slice();
  client.machine.end(hosts.now);
  hosts.types();
  for (const round of [1, 2]) {
    hosts.pass(LINUX_REPEAT_MILLIS);
    server.hear(question, client.address);
    assert.deepEqual(hosts.types(), ['SIDR_REP'], `round ${round}`);
  }
  assert.deepEqual(server.events, [], 'no new request');
  hosts.pass(LINUX_REPEAT_MILLIS);
  assert.equal(server.machine.census.lookups, 0, 'and then it is forgotten');
});

test('without an answer a lookup ends in its time, on both sides', () => {
  const { hosts, client, server, ask, answer } = world();
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  const id = ask({ timeoutMillis: 2500 });
  const request = server.take('lookup-request');
  hosts.pass(2500);
  assert.deepEqual(client.take('lookup-unreachable'), { type: 'lookup-unreachable', id });
  hosts.pass(30_000);
  assert.equal(answer(request.id), false);
  assert.deepEqual(
    [client.machine.census.lookups, server.machine.census.lookups, server.machine.census.halfOpen],
    [0, 0, 0],
  );
});

test('an answer counts only from the address that was asked, for what was asked, with a queue pair', () => {
  const { hosts, client, server, ask, answer } = world();
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  hosts.arrives = ({ type }) => type !== 'SIDR_REP';
  ask();
  answer(server.take('lookup-request').id);
  const rep = cmMessage(hosts.last('SIDR_REP')) as SidrRep;
  client.hear(writeCmMessage(rep));
  client.hear(writeCmMessage({ ...rep, requestId: (rep.requestId ^ 1) >>> 0 }), server.address);
  client.hear(writeCmMessage({ ...rep, serviceId: SERVICE + 1n }), server.address);
  client.hear(writeCmMessage({ ...rep, qpn: 1 }), server.address);
  assert.deepEqual(
    [client.drops('wrong_source'), client.drops('unknown_id'), client.drops('bad_qpn')],
    [1, 2, 1],
  );
  assert.deepEqual(client.events, []);
  client.hear(writeCmMessage(rep), server.address);
  client.take('lookup-answer');
});

test('the SIDR_REQ of udaddy is told as udaddy meant it', () => {
  const hosts = new CmHosts();
  const server = hosts.add('10.88.0.1');
  server.listen({
    serviceId: (cmMessage(madOf(capturedPacket('SIDR_REQ udaddy'))) as SidrReq).serviceId,
    forDatagrams: true,
  });
  server.hear(madOf(capturedPacket('SIDR_REQ udaddy')), cmAddress('10.88.0.2'));
  const { local, remote } = server.take('lookup-request');
  assert.deepEqual([local, remote.host], [{ host: '10.88.0.1', port: 7174 }, '10.88.0.2']);
});

test('lookups of a peer are bounded as its requests are, and answers that are kept too', () => {
  const hosts = new CmHosts();
  const limits = { maxHalfOpenOfSource: 2, maxRemembered: 2 };
  const [client, server] = [hosts.add('10.0.0.2'), hosts.add('10.0.0.1', { limits })];
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  const options = { serviceId: SERVICE, remote: server.address, local: client.address, timeoutMillis: 500 };
  const ask = () =>
    client.run(() => client.machine.lookUp({ ...options, privateData: new Uint8Array(0) }, hosts.now));
  for (let i = 0; i < 3; i++) ask();
  assert.deepEqual([server.events.length, server.drops('source_limit')], [2, 1]);
  for (let i = 0; i < 6; i++) {
    for (const event of server.events.splice(0)) {
      const answer = { status: 2, qpn: 0, qkey: 0, privateData: new Uint8Array(0) };
      if (event.type === 'lookup-request')
        server.run(() => server.machine.answerLookup(event.id, answer, hosts.now));
    }
    ask();
  }
  assert.equal(server.machine.census.lookups, 3, 'two answers and one question');
});

test('a lookup can be given up, and mistakes of the program are told', () => {
  const { hosts, client, server, ask } = world();
  server.listen({ serviceId: SERVICE, forDatagrams: true });
  const id = ask();
  assert.equal(client.close(id), true);
  assert.equal(client.close(id), false);
  hosts.pass(10_000);
  assert.deepEqual(client.events, []);
  const usage = (error: RdmaError): boolean => error.code === 'ERR_RDMA_INVALID_ARGUMENT';
  assert.throws(() => ask({ privateData: new Uint8Array(181) }), usage);
  assert.throws(() => ask({ timeoutMillis: Number.NaN }), usage);
  const request = server.take('lookup-request');
  const answer = { status: 0, qpn: 2, qkey: 1, privateData: new Uint8Array(137) };
  assert.throws(() => server.machine.answerLookup(request.id, answer, hosts.now), usage);
});
