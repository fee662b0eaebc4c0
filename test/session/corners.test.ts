/** Corners of channels and of the server before them: what stays counted, what is left behind, which word counts. */
import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { type Socket, connect as tcpConnect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { admissionLimits, ConnectGate } from '../../src/session/connect-gate.js';
import { connectTls } from '../../src/session/tls-client.js';
import { RdmaError } from '../../src/verbs/errors.js';
import {
  arrival,
  clientOptions,
  connectRaw,
  gone,
  noConnections,
  noOpenSockets,
  nothingLeft,
  openSockets,
  rawFrame,
  rdmaError,
  startServer,
  type TestCertificates,
  testCertificates,
} from './support.js';

let certificates: TestCertificates;
before(async () => {
  certificates = await testCertificates();
});
afterEach(() => noOpenSockets());
after(() => assert.deepEqual(openSockets(), []));

async function silent(port: number): Promise<Socket> {
  const socket = tcpConnect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('both ends count the sessions of a channel, and the first reason for its end stays', async () => {
  const { channel: arrived, arrive } = arrival();
  await using own = await startServer(certificates, { onChannel: arrive });
  const client = await connectTls(clientOptions(certificates, own.port));
  const server = await arrived;
  for (const channel of [client, server]) {
    for (const sessions of [0, 1, 2]) {
      assert.equal(channel.sessionsBefore, sessions);
      channel.sessionMet();
    }
  }
  const first = new RdmaError('ERR_RDMA_TIMEOUT', 'it is silent');
  client.drop(first);
  client.drop(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'it hung up'));
  assert.equal(client.end?.error, first);
  assert.equal((await client.closed).error, first);
  await server.closed;
});

test('a connection that is made leaves no listener at the signal', async () => {
  const { channel: arrived, arrive } = arrival();
  await using own = await startServer(certificates, { onChannel: arrive });
  const { signal } = new AbortController();
  const client = await connectTls(clientOptions(certificates, own.port, { signal }));
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await client.close();
  await (await arrived).closed;
});

test('a client that ends a session has left, whatever it calls that', async () => {
  const { channel: arrived, arrive } = arrival();
  await using own = await startServer(certificates, { onChannel: arrive });
  const { socket } = await connectRaw(own.port, certificates);
  const server = await arrived;
  socket.write(rawFrame('{"v":1,"type":"error","code":"certificate","message":"the certificate is bad"}'));
  const { code, refusal } = await rdmaError(server.receive());
  assert.deepEqual({ code, refusal }, { code: 'ERR_RDMA_REFUSED', refusal: 'left' });
  await gone(socket);
});

test('as many handshakes as are allowed may be under way, and none gives way to the last of them', async () => {
  await using own = await startServer(certificates, {
    onChannel: () => assert.fail('a channel was handed out'),
    admission: { maxHandshakes: 3 },
  });
  const sockets = [await silent(own.port), await silent(own.port), await silent(own.port)];
  await nothingLeft(() => (own.server.tlsHandshakes === 3 ? [] : ['a handshake']));
  assert.deepEqual(own.refusals, []);
  for (const socket of sockets) socket.destroy();
  await noConnections(own.server);
});

test('a connection that was refused is not counted for its address when it is gone', async () => {
  const { channel: arrived, arrive } = arrival();
  await using own = await startServer(certificates, { onChannel: arrive, admission: { maxPerAddress: 1 } });
  const first = await silent(own.port);
  const second = await silent(own.port);
  assert.equal((await own.nextRefusal()).kind, 'overload');
  await gone(second);
  first.destroy();
  await noConnections(own.server);
  const client = await connectTls(clientOptions(certificates, own.port));
  await arrived;
  await client.close();
});

test('a connection that comes too soon counts as open until it is gone', () => {
  let now = 0;
  const gate = new ConnectGate(
    admissionLimits({ maxPerAddress: 1, connectsPerSecond: 1, burst: 1 }),
    () => now,
  );
  assert.equal(gate.enter('192.0.2.1'), undefined);
  assert.match(String(gate.enter('192.0.2.1')), /connections a second/);
  gate.leave('192.0.2.1');
  now = 5000;
  assert.match(String(gate.enter('192.0.2.1')), /connections at once/);
});

test('new certificates neither begin nor end that clients must show theirs', async () => {
  const onChannel = (): void => assert.fail('a channel was handed out');
  const { certPem: cert, keyPem: key } = certificates.server;
  await using own = await startServer(certificates, { onChannel });
  assert.throws(() => own.server.setCertificates({ cert, key }), { code: 'ERR_RDMA_CERTIFICATE' });
  own.server.setCertificates({ cert, key, clientCa: certificates.ca.certPem });
});
