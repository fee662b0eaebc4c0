/** Which peers a server does not serve, and what each side is told. Every test ends with no socket open. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { connectTls, type TlsClientOptions } from '../../src/session/tls-client.js';
import { ALPN_PROTOCOL } from '../../src/session/tls-protocol.js';
import { createTlsServer } from '../../src/session/tls-server.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { within } from '../../testkit/within.js';
import {
  arrival,
  clientOptions,
  connectRaw,
  gone,
  noOpenSockets,
  openSockets,
  rdmaError,
  startServer,
  type TestCertificates,
  testCertificates,
} from './support.js';

const DEADLINE_MILLIS = 150;

let certificates: TestCertificates;
before(async () => {
  certificates = await testCertificates();
});
afterEach(() => noOpenSockets());
after(() => assert.deepEqual(openSockets(), []));

const notServed = (): void => assert.fail('a channel was handed out');

/** What our own client is told in the end, be it while connecting or by its first `receive()`. */
async function clientVerdict(options: TlsClientOptions): Promise<RdmaError> {
  return await rdmaError(
    (async () => {
      const channel = await connectTls(options);
      try {
        await channel.receive();
      } finally {
        await channel.closed;
      }
    })(),
  );
}

interface ClientCase {
  readonly certificate: 'strangerClient' | 'expiredClient' | 'server' | undefined;
  readonly serverSays: RegExp;
  readonly clientSays: RegExp;
}

const CLIENT_CERTIFICATES: Readonly<Record<string, ClientCase>> = {
  'no certificate': {
    certificate: undefined,
    serverSays: /^the certificate of the client is missing$/,
    clientSays:
      /^the server 127\.0\.0\.1:\d+ refused our certificate: we showed none; give `cert` and `key`$/,
  },
  'an expired certificate': {
    certificate: 'expiredClient',
    serverSays: /^the certificate of the client has expired$/,
    clientSays: /refused our certificate: CN=test client, signed by CN=test authority, expired since/,
  },
  'a certificate of an authority that the server does not trust': {
    certificate: 'strangerClient',
    serverSays: /^the certificate of the client was signed by an authority that is not trusted here$/,
    clientSays: /refused our certificate: CN=test client, signed by CN=another authority, valid until/,
  },
  "a server's certificate": {
    certificate: 'server',
    serverSays: /^the certificate of the client was not issued for this use$/,
    clientSays: /refused our certificate: CN=test server, signed by CN=test authority, valid until/,
  },
};

for (const [name, { certificate, serverSays, clientSays }] of Object.entries(CLIENT_CERTIFICATES)) {
  test(`a client with ${name} is refused, and both sides can read why`, async () => {
    await using server = await startServer(certificates, { onChannel: notServed });
    const { cert: _cert, key: _key, ...anonymous } = clientOptions(certificates, server.port);
    const own = certificate === undefined ? undefined : certificates[certificate];
    const error = await clientVerdict(
      own === undefined ? anonymous : { ...anonymous, cert: own.certPem, key: own.keyPem },
    );
    assert.equal(error.code, 'ERR_RDMA_TLS');
    assert.match(error.message, clientSays);
    const refusal = await server.nextRefusal();
    assert.equal(refusal.address, '127.0.0.1');
    assert.ok(refusal.port > 0);
    assert.match(refusal.reason, serverSays);
    assert.equal(refusal.kind, 'certificate');
    assert.equal(error.refusal, 'certificate');
    assert.equal(server.refusals.length, 1, 'one refusal is reported once');
  });
}

test('a client without a certificate is served where the server asks for none, and has no identity', async () => {
  const { channel, arrive } = arrival();
  const server = createTlsServer({
    cert: certificates.server.certPem,
    key: certificates.server.keyPem,
    onChannel: arrive,
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const client = await connectTls({ host: 'localhost', port, ca: certificates.ca.certPem });
  assert.equal((await channel).peer, null);
  assert.equal(client.peer?.subject, 'CN=test server');
  await client.close();
  await server.close();
});

test('a client without TLS 1.3 is refused', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  const { ca, client } = certificates;
  const socket = tlsConnect({
    host: '127.0.0.1',
    port: server.port,
    ca: ca.certPem,
    cert: client.certPem,
    key: client.keyPem,
    maxVersion: 'TLSv1.2',
    ALPNProtocols: [ALPN_PROTOCOL],
  });
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  assert.match((await server.nextRefusal()).reason, /^the client offers no TLS 1\.3/);
});

test('a client that offers another protocol, or none, is refused', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  await assert.rejects(connectRaw(server.port, certificates, { ALPNProtocols: ['h2'] }), {
    code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
  });
  assert.match((await server.nextRefusal()).reason, /^the client does not speak queuepair\/1/);
  const { frames } = await connectRaw(server.port, certificates, { ALPNProtocols: [] });
  assert.deepEqual(await frames, []);
  assert.match((await server.nextRefusal()).reason, /^the client does not speak queuepair\/1/);
});

test('bytes that are not TLS are refused', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\0'.repeat(64), 'SSH-2.0-OpenSSH_9.2\r\n']) {
    const socket = tcpConnect(server.port, '127.0.0.1');
    socket.write(bytes);
    await gone(socket);
    assert.match((await server.nextRefusal()).reason, /^the client does not speak TLS/);
  }
});

test('a client that leaves during TLS is reported and freed', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  const socket = tcpConnect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  const refusal = await server.nextRefusal();
  assert.match(refusal.reason, /^the client hung up during TLS/);
  assert.equal(server.server.tlsHandshakes, 0);
});

test('no session is resumed: each connection shows its certificate again', async () => {
  const { channel, arrive } = arrival();
  await using server = await startServer(certificates, { onChannel: arrive });
  const first = await connectRaw(server.port, certificates);
  (await channel).send({ type: 'ready' });
  const [ticket] = (await once(first.socket, 'session')) as [Buffer];
  first.socket.destroy();
  const second = await connectRaw(server.port, certificates, { session: ticket });
  assert.equal(second.socket.isSessionReused(), false);
  second.socket.destroy();
});

test('a peer that is silent in TLS is gone at the deadline', async () => {
  const options = { onChannel: notServed, handshakeDeadlineMillis: DEADLINE_MILLIS };
  await using server = await startServer(certificates, options);
  const socket = tcpConnect(server.port, '127.0.0.1');
  await gone(socket);
  assert.match((await server.nextRefusal()).reason, /^the client did not finish TLS within 150 ms$/);
  assert.equal(server.refusals.length, 1);
  assert.equal(server.server.tlsHandshakes, 0);
});

test('a peer that sends TLS byte by byte gains no time', async () => {
  const options = { onChannel: notServed, handshakeDeadlineMillis: DEADLINE_MILLIS };
  await using server = await startServer(certificates, options);
  const socket = tcpConnect(server.port, '127.0.0.1');
  const start = performance.now();
  // The beginning of a long ClientHello record, then one byte every few milliseconds.
  socket.write(Buffer.from('160301400001003ffc0303', 'hex'));
  const drip = setInterval(() => socket.write(Buffer.of(0)), 10);
  await gone(socket);
  clearInterval(drip);
  const elapsedMillis = performance.now() - start;
  assert.ok(elapsedMillis >= DEADLINE_MILLIS - 20, `gone after ${elapsedMillis} ms`);
  assert.match((await server.nextRefusal()).reason, /^the client did not finish TLS within 150 ms$/);
});

test('a peer that is silent after TLS is told, and gone at the same deadline', async () => {
  const { channel, arrive } = arrival();
  await using server = await startServer(certificates, {
    onChannel: arrive,
    handshakeDeadlineMillis: DEADLINE_MILLIS,
  });
  const { frames } = await connectRaw(server.port, certificates);
  const { error } = await (await channel).closed;
  assert.equal(error?.code, 'ERR_RDMA_TIMEOUT');
  assert.match(error?.message ?? '', /did not finish the handshake within 150 ms/);
  const [answer] = await frames;
  assert.ok(answer?.type === 'error');
  assert.equal(answer.code, 'timeout');
});

test('an established session outlives the deadline of its handshake', async () => {
  const { channel, arrive } = arrival();
  const settings = { handshakeDeadlineMillis: 60 };
  await using server = await startServer(certificates, { onChannel: arrive, ...settings });
  const client = await connectTls(clientOptions(certificates, server.port, settings));
  const served = await channel;
  client.handshakeDone();
  served.handshakeDone();
  await new Promise((resolve) => setTimeout(resolve, 120));
  client.send({ type: 'ready' });
  assert.deepEqual(await served.receive(), { type: 'ready' });
  await client.close();
});

test('a peer that never closes its side is cut off after the linger time', async () => {
  const { channel, arrive } = arrival();
  await using server = await startServer(certificates, { onChannel: arrive });
  // Half-open: the peer gets our end and stays.
  const { socket } = await connectRaw(server.port, certificates, { allowHalfOpen: true } as object);
  const served = await channel;
  try {
    await within(served.close());
  } finally {
    socket.destroy();
  }
});

test('a flood of silent connections stays bounded and does not lock an honest client out', async () => {
  const { channel, arrive } = arrival();
  const options = { onChannel: arrive, admission: { maxHandshakes: 8 } };
  await using server = await startServer(certificates, options);
  const flood = Array.from({ length: 100 }, () => {
    const socket = tcpConnect(server.port, '127.0.0.1');
    return { socket, closed: gone(socket) };
  });
  await Promise.all(flood.slice(0, 92).map(({ closed }) => closed));
  assert.ok(server.server.tlsHandshakes <= 8);
  const client = await connectTls(clientOptions(certificates, server.port));
  const served: ControlChannel = await channel;
  assert.equal(served.peer?.subject, 'CN=test client');
  assert.ok(server.refusals.every(({ reason }) => /too many TLS handshakes/.test(reason)));
  assert.ok(server.refusals.length >= 92);
  await client.close();
  for (const { socket } of flood) socket.destroy();
});

test('a connection that was refused counts for its address only until it is gone', async () => {
  const { channel, arrive } = arrival();
  await using server = await startServer(certificates, {
    onChannel: arrive,
    admission: { maxPerAddress: 2 },
  });
  const open = async () => {
    const socket = tcpConnect(server.port, '127.0.0.1');
    const closed = gone(socket);
    await once(socket, 'connect');
    return { socket, closed };
  };
  const held = [await open(), await open()];
  for (let attempt = 1; attempt <= 3; attempt++) await (await open()).closed;
  const overload = server.refusals.filter(({ kind }) => kind === 'overload');
  assert.equal(overload.length, 3);
  for (const { socket, closed } of held) {
    socket.destroy();
    await closed;
  }
  while (server.server.tlsHandshakes > 0) await new Promise(setImmediate);
  const client = await connectTls(clientOptions(certificates, server.port));
  await channel;
  await client.close();
});

test('closing the server drops what is in TLS and says bye to what is established', async () => {
  const { channel, arrive } = arrival();
  const server = await startServer(certificates, { onChannel: arrive });
  const client = await connectTls(clientOptions(certificates, server.port));
  await channel;
  const silent = tcpConnect(server.port, '127.0.0.1');
  await once(silent, 'connect');
  const dropped = gone(silent);
  await server.server.close('maintenance');
  assert.deepEqual(await client.receive(), { type: 'bye', reason: 'maintenance' });
  await client.closed;
  await dropped;
  assert.equal(server.server.channels, 0);
  await server.server.close();
});
