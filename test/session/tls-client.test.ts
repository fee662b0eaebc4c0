/** Which servers a client does not talk to, and what it says of them. Every test ends with no socket open. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { afterEach, before, test } from 'node:test';
import { createServer as createPlainTlsServer, type TlsOptions } from 'node:tls';
import type { AdmissionLimits } from '../../src/session/connect-gate.js';
import { connectTls } from '../../src/session/tls-client.js';
import { ALPN_PROTOCOL } from '../../src/session/tls-protocol.js';
import type { TlsRefusal } from '../../src/session/tls-refusal.js';
import { createTlsServer } from '../../src/session/tls-server.js';
import {
  clientOptions,
  noOpenSockets,
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

const notServed = (): void => assert.fail('a channel was handed out');

const SERVER_CERTIFICATES = {
  expiredServer: /^the certificate of the server 127\.0\.0\.1:\d+ has expired$/,
  strangerServer: /^the certificate of the server .* was signed by an authority that is not trusted here$/,
  elsewhereServer: /^the certificate of the server .* does not name that host: .*127\.0\.0\.1/,
  client: /^the certificate of the server .* was not issued for this use$/,
} as const;

for (const [name, message] of Object.entries(SERVER_CERTIFICATES)) {
  test(`a client refuses a server that shows the certificate "${name}"`, async () => {
    const shown = certificates[name as keyof typeof SERVER_CERTIFICATES];
    const { onChannel, onRefused, refused } = collectRefusals();
    const server = createTlsServer({ cert: shown.certPem, key: shown.keyPem, onChannel, onRefused });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    const error = await rdmaError(connectTls(clientOptions(certificates, port)));
    assert.equal(error.code, 'ERR_RDMA_TLS');
    assert.match(error.message, message);
    assert.match(
      (await refused).reason,
      /^the client hung up during TLS; it may not accept our certificate$/,
    );
    await server.close();
  });
}

function collectRefusals() {
  let report: (refusal: TlsRefusal) => void = () => {};
  const refused = new Promise<TlsRefusal>((resolve) => {
    report = resolve;
  });
  return {
    refused,
    onRefused: (refusal: TlsRefusal) => report(refusal),
    onChannel: notServed,
  };
}

test('servername says which name the server must have', async () => {
  const { elsewhereServer } = certificates;
  await using server = await startServer(certificates, {
    onChannel: () => {},
    cert: elsewhereServer.certPem,
    key: elsewhereServer.keyPem,
  });
  const client = await connectTls(clientOptions(certificates, server.port, { servername: 'elsewhere.test' }));
  await client.close();
  const error = await rdmaError(
    connectTls(clientOptions(certificates, server.port, { servername: 'other.test' })),
  );
  assert.match(error.message, /does not name that host/);
});

async function withTlsServer(options: TlsOptions, use: (port: number) => Promise<void>): Promise<void> {
  const { certPem: cert, keyPem: key } = certificates.server;
  const server = createPlainTlsServer({ cert, key, ...options }, (socket) => socket.on('error', () => {}));
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
    await once(server, 'close');
  }
}

test('a client refuses a server without TLS 1.3', async () => {
  await withTlsServer({ maxVersion: 'TLSv1.2', ALPNProtocols: [ALPN_PROTOCOL] }, async (port) => {
    const error = await rdmaError(connectTls(clientOptions(certificates, port)));
    assert.equal(error.code, 'ERR_RDMA_TLS');
    assert.match(error.message, /offers no TLS 1\.3/);
  });
});

test('a client refuses a server of another protocol, or of none', async () => {
  for (const options of [{ ALPNProtocols: ['h2'] }, {}]) {
    await withTlsServer(options, async (port) => {
      const error = await rdmaError(connectTls(clientOptions(certificates, port)));
      assert.equal(error.code, 'ERR_RDMA_TLS');
      assert.match(error.message, /does not speak queuepair\/1/);
    });
  }
});

async function withTcpServer(bytes: string, use: (port: number) => Promise<void>): Promise<void> {
  const server = createTcpServer((socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end(bytes),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
    await once(server, 'close');
  }
}

test('a client says so when the server does not speak TLS, hangs up, or is not there', async () => {
  let freePort = 0;
  await withTcpServer('HTTP/1.1 400 Bad Request\r\n\r\n', async (port) => {
    const error = await rdmaError(connectTls(clientOptions(certificates, port)));
    assert.equal(error.code, 'ERR_RDMA_TLS');
    assert.match(error.message, /does not speak TLS/);
  });
  await withTcpServer('', async (port) => {
    const error = await rdmaError(connectTls(clientOptions(certificates, port)));
    assert.deepEqual([error.code, error.refusal], ['ERR_RDMA_CONNECTION_LOST', 'before-tls']);
    freePort = port;
  });
  const error = await rdmaError(connectTls(clientOptions(certificates, freePort)));
  assert.deepEqual([error.code, error.refusal], ['ERR_RDMA_CONNECTION_LOST', undefined]);
  assert.match(error.message, /refused the connection: nothing listens there/);
});

test('a server that hangs up amid TLS has said hello, and is no full one', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  const HELLO_BYTES = 200;
  const proxy = createTcpServer((client) => {
    const inner = connectTcp(server.port, '127.0.0.1');
    client.on('error', () => {}).pipe(inner.on('error', () => {}));
    inner.once('data', (flight: Buffer) => {
      assert.ok(flight.length > HELLO_BYTES);
      client.end(flight.subarray(0, HELLO_BYTES));
      inner.destroy();
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const error = await rdmaError(connectTls(clientOptions(certificates, port)));
  assert.deepEqual([error.code, error.refusal], ['ERR_RDMA_CONNECTION_LOST', undefined]);
  assert.equal(error.retryable, true);
  proxy.close();
  await once(proxy, 'close');
});

test('a client that comes when its address has all its connections is told that certificates are not the matter', async (t) => {
  // However busy the machine is, all come within the same second.
  t.mock.method(performance, 'now', () => 5000);
  const limits: readonly AdmissionLimits[] = [{ maxPerAddress: 1 }, { burst: 1, connectsPerSecond: 1 }];
  for (const admission of limits) {
    await using server = await startServer(certificates, { onChannel: () => {}, admission });
    const first = await connectTls(clientOptions(certificates, server.port));
    for (let i = 0; i < 20; i++) {
      const error = await rdmaError(connectTls(clientOptions(certificates, server.port)));
      assert.deepEqual([error.code, error.refusal], ['ERR_RDMA_CONNECTION_LOST', 'before-tls']);
      assert.equal(error.retryable, true);
      assert.match(
        error.message,
        /^the server 127\.0\.0\.1:\d+ closed the connection before TLS began, .* try again later\. It has not seen a certificate$/,
      );
      assert.equal((await server.nextRefusal()).kind, 'overload');
    }
    await first.close();
  }
});

test('a client gives up on a server that is silent in TLS, and when it is told to', async () => {
  const server = createTcpServer((socket) => socket.on('error', () => {}).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const late = await rdmaError(
    connectTls(clientOptions(certificates, port, { handshakeDeadlineMillis: DEADLINE_MILLIS })),
  );
  assert.equal(late.code, 'ERR_RDMA_TIMEOUT');
  const controller = new AbortController();
  const connecting = rdmaError(connectTls(clientOptions(certificates, port, { signal: controller.signal })));
  controller.abort();
  assert.equal((await connecting).code, 'ERR_RDMA_ABORTED');
  const before = await rdmaError(
    connectTls(clientOptions(certificates, port, { signal: controller.signal })),
  );
  assert.equal(before.code, 'ERR_RDMA_ABORTED');
  server.close();
  await once(server, 'close');
});

test('unusable settings are named before anything is opened', async () => {
  const { server: own, client } = certificates;
  const bad = { code: 'ERR_RDMA_CERTIFICATE' };
  assert.throws(() => createTlsServer({ cert: 'x', key: own.keyPem, onChannel: notServed }), bad);
  assert.throws(() => createTlsServer({ cert: own.certPem, key: client.keyPem, onChannel: notServed }), bad);
  assert.equal(
    (await rdmaError(connectTls(clientOptions(certificates, 1, { cert: 'x' })))).code,
    'ERR_RDMA_CERTIFICATE',
  );
  assert.equal(
    (await rdmaError(connectTls(clientOptions(certificates, 1, { key: own.keyPem })))).code,
    'ERR_RDMA_CERTIFICATE',
  );
  assert.equal(
    (await rdmaError(connectTls(clientOptions(certificates, 70_000)))).code,
    'ERR_RDMA_INVALID_ARGUMENT',
  );
});

test('an address that cannot be listened on is ERR_RDMA_ADDRESS', async () => {
  await using server = await startServer(certificates, { onChannel: notServed });
  const other = createTlsServer({
    cert: certificates.server.certPem,
    key: certificates.server.keyPem,
    onChannel: notServed,
  });
  const taken = await rdmaError(other.listen({ host: '127.0.0.1', port: server.port }));
  assert.equal(taken.code, 'ERR_RDMA_ADDRESS');
  assert.match(taken.message, /another program uses that port/);
  assert.equal((await rdmaError(other.listen({ host: '127.0.0.1', port: 70_000 }))).code, 'ERR_RDMA_ADDRESS');
  await other.close();
});
