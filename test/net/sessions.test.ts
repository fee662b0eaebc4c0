/** Sockets over sessions: what they share, how they fail, and what is refused. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Logger } from '../../src/connection/common/logger.js';
import {
  connect,
  createServer,
  type Server,
  type ServerOptions,
  Socket,
  type SocketConnectOptions,
} from '../../src/net.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { FREE_DEVICE, testCertificates } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const { caPem, server: certificates, client } = await testCertificates();
const CREDENTIALS = { cert: certificates.certPem, key: certificates.keyPem, device: FREE_DEVICE };

async function listening(options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = createServer({ ...CREDENTIALS, ...options });
  server.listen(0);
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => server.address()?.port ?? 0;

function dial(port: number, options: Partial<SocketConnectOptions> = {}): Socket {
  return connect({ port, host: '127.0.0.1', ca: caPem, device: FREE_DEVICE, ...options });
}

const failureOf = (socket: Socket): Promise<NodeJS.ErrnoException> =>
  new Promise((resolve) => socket.once('error', resolve));

async function closing(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

test('sockets to one server share a connection; ownConnection, and other credentials, make another', async () => {
  const server = await listening();
  const first = dial(portOf(server));
  await once(first, 'connect');
  const same = Array.from({ length: 20 }, () => dial(portOf(server)));
  await Promise.all(same.map((socket) => once(socket, 'connect')));
  for (const socket of same) assert.equal(socket.localPort, first.localPort, 'the same connection');
  const own = dial(portOf(server), { ownConnection: true });
  const other = dial(portOf(server), { cert: client.certPem, key: client.keyPem });
  await Promise.all([once(own, 'connect'), once(other, 'connect')]);
  const ports = new Set([first.localPort, own.localPort, other.localPort]);
  assert.equal(ports.size, 3);
  for (const socket of [first, own, other, ...same]) socket.destroy();
  await closing(server);
});

test('a logger hears of the connection under sockets at both ends; sockets share it with those of the same logger', async () => {
  const heard = (): { readonly texts: string[]; readonly logger: Logger } => {
    const texts: string[] = [];
    const note = (_: object, text: string): number => texts.push(text);
    return { texts, logger: { debug: () => {}, info: note, warn: note, error: note } };
  };
  const [served, one, other] = [heard(), heard(), heard()];
  const server = await listening({ logger: served.logger });
  const sockets = [one, one, other].map(({ logger }) => dial(portOf(server), { logger }));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const [first, same, another] = sockets.map(({ localPort }) => localPort);
  assert.equal(first, same);
  assert.notEqual(first, another);
  assert.deepEqual([one.texts.length, other.texts.length], [1, 1]);
  assert.match(one.texts[0] ?? '', /^connection \d+ to 127\.0\.0\.1:\d+ is up$/);
  for (const socket of sockets) socket.destroy();
  await closing(server);
  assert.equal(served.texts.filter((text) => /^connection \d of .* is up$/.test(text)).length, 2);
});

test('a connection without sockets serves the next one, and is gone soon after the last', async () => {
  const server = await listening();
  const first = dial(portOf(server));
  await once(first, 'connect');
  const { localPort } = first;
  first.end().resume();
  await once(first, 'close');
  const next = dial(portOf(server));
  await once(next, 'connect');
  assert.equal(next.localPort, localPort);
  next.destroy();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const late = dial(portOf(server));
  await once(late, 'connect');
  assert.notEqual(late.localPort, localPort);
  late.destroy();
  await closing(server);
});

test('a connection keeps nothing of the sockets that have closed', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const server = await listening();
  const stays = dial(portOf(server));
  await once(stays, 'connect');
  const gone: WeakRef<Socket>[] = [];
  for (let i = 0; i < 5; i++) gone.push(await comeAndGo(portOf(server), stays.localPort));
  const deadline = Date.now() + 10_000;
  while (gone.some((socket) => socket.deref() !== undefined) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  assert.deepEqual(
    gone.map((socket) => socket.deref() === undefined),
    gone.map(() => true),
  );
  stays.destroy();
  await closing(server);
});

/** A function of its own, so that nothing of the socket stays on the stack. */
async function comeAndGo(port: number, localPort: number | undefined): Promise<WeakRef<Socket>> {
  const socket = dial(port);
  await once(socket, 'connect');
  assert.equal(socket.localPort, localPort, 'the same connection');
  socket.end().resume();
  await once(socket, 'close');
  return new WeakRef(socket);
}

test('a socket that ends and is destroyed at once holds its connection no longer than one that ended', async () => {
  const server = await listening({ allowHalfOpen: true });
  server.on('connection', (taken) => taken.resume().end());
  const first = dial(portOf(server), { allowHalfOpen: true });
  await once(first, 'connect');
  const { localPort } = first;
  await once(first.resume(), 'end');
  first.end('bye');
  first.destroy();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const late = dial(portOf(server));
  await once(late, 'connect');
  assert.notEqual(late.localPort, localPort);
  late.destroy();
  await closing(server);
});

test('a socket that gives up while the connection is made disturbs no other', async () => {
  const server = await listening();
  const [gone, kept] = [dial(portOf(server)), dial(portOf(server))];
  gone.destroy();
  await once(kept, 'connect');
  assert.equal(gone.destroyed, true);
  kept.destroy();
  await closing(server);
});

test('when a connection is lost for good, each of its sockets gets ECONNRESET with the reason as cause', async () => {
  const server = await listening({ recoveryMillis: 0 });
  server.on('connection', (socket) => socket.on('error', () => {}));
  const cutter = await TcpCutter.to({ host: '127.0.0.1', port: portOf(server) });
  const sockets = [dial(cutter.port, { recoveryMillis: 0 }), dial(cutter.port, { recoveryMillis: 0 })];
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const failures = Promise.all(sockets.map(failureOf));
  cutter.cut();
  for (const error of await failures) {
    assert.equal(error.code, 'ECONNRESET');
    assert.ok(error.cause instanceof RdmaError);
    assert.match(error.cause.code, /^ERR_RDMA_/);
  }
  await cutter[Symbol.asyncDispose]();
  await closing(server);
});

test('while a connection recovers, a new socket asks for itself whether the server is there', async () => {
  const server = await listening();
  server.on('connection', (socket) => socket.on('error', () => {}));
  const cutter = await TcpCutter.to({ host: '127.0.0.1', port: portOf(server) });
  const first = dial(cutter.port);
  await once(first, 'connect');
  cutter.refuses = true;
  cutter.cut();
  while (cutter.refused === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const down = dial(cutter.port).on('connect', () => assert.fail('nobody is there'));
  assert.match((await failureOf(down)).message, /^connect /);
  cutter.refuses = false;
  const up = dial(cutter.port);
  await once(up, 'connect');
  for (const socket of [first, up]) socket.destroy();
  await closing(server);
  await cutter[Symbol.asyncDispose]();
});

test('sockets to one name share a connection only when its addresses are the same, in any order', async () => {
  const here = await listening();
  const port = portOf(here);
  const there = createServer(CREDENTIALS).listen(port, '127.0.0.2');
  await once(there, 'listening');
  const found = async (...addresses: string[]): Promise<Socket> => {
    const socket = dial(port, {
      host: 'localhost',
      lookup: (_name, _options, answer) =>
        answer(
          null,
          addresses.map((address) => ({ address, family: 4 })),
        ),
    });
    await once(socket, 'connect');
    return socket;
  };
  const [one, other] = [await found('127.0.0.1'), await found('127.0.0.2')];
  assert.deepEqual([one.remoteAddress, other.remoteAddress], ['127.0.0.1', '127.0.0.2']);
  const [both, turned] = [await found('127.0.0.1', '127.0.0.2'), await found('127.0.0.2', '127.0.0.1')];
  assert.equal(both.localPort, turned.localPort);
  for (const socket of [one, other, both, turned]) socket.destroy();
  await Promise.all([closing(here), closing(there)]);
});

test('a name without an address is ENOTFOUND', async () => {
  const socket = dial(1, { host: 'empty.example', lookup: (_name, _options, answer) => answer(null, []) });
  const { code, syscall } = await failureOf(socket);
  assert.deepEqual([code, syscall], ['ENOTFOUND', 'getaddrinfo']);
});

test('a server that is full is ECONNREFUSED, and the cause says why', async () => {
  const server = await listening({ slots: 1 });
  const first = dial(portOf(server));
  await once(first, 'connect');
  const second = dial(portOf(server), { ownConnection: true });
  const error = await failureOf(second);
  assert.equal(error.code, 'ECONNREFUSED');
  assert.equal((error.cause as RdmaError).refusal, 'no-slot');
  first.destroy();
  await closing(server);
});

test('a socket that connects again has nothing left of what was not read before', async () => {
  const server = await listening();
  server.on('connection', (socket) => socket.on('error', () => {}).end('x'.repeat(200_000)));
  const socket = dial(portOf(server));
  await once(socket, 'readable');
  assert.ok(socket.readableLength > 0);
  socket.destroy();
  assert.throws(() => socket.connect(portOf(server)), { code: 'ERR_RDMA_INVALID_STATE' });
  await once(socket, 'close');
  socket.connect({ port: portOf(server), host: '127.0.0.1', ca: caPem, device: FREE_DEVICE });
  let bytes = 0;
  for await (const chunk of socket) bytes += chunk.length;
  assert.equal(bytes, 200_000);
  await closing(server);
});

test('a certificate that is not trusted is ERR_RDMA_TLS, for which TCP has no word', async () => {
  const server = await listening();
  const socket = connect({ port: portOf(server), host: '127.0.0.1', device: FREE_DEVICE });
  const error = await failureOf(socket);
  assert.ok(error instanceof RdmaError);
  assert.equal(error.code, 'ERR_RDMA_TLS');
  await closing(server);
});

test('something that is no queuepair server is an error, and not a socket', async () => {
  const tcp = createTcpServer((socket) => socket.end('220 hello\r\n').on('error', () => {}));
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const error = await failureOf(dial(port));
  assert.ok(error instanceof RdmaError && error.code === 'ERR_RDMA_TLS', String(error));
  tcp.close();
});

test('sealed sockets carry bytes both ways', async () => {
  const server = await listening({ encryption: 'aes-256-gcm' });
  server.on('connection', (socket) => socket.pipe(socket));
  const socket = dial(portOf(server));
  const bytes = Buffer.alloc(500_000, 'sealed');
  socket.end(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(bytes));
  await closing(server);
});

test('what is not offered, and what is wrong, is refused with a sentence', async () => {
  const refused = (run: () => unknown, code: string, message: RegExp): void =>
    assert.throws(run, { code, message });
  const wrong = 'ERR_RDMA_INVALID_ARGUMENT';
  const missing = 'ERR_RDMA_NOT_SUPPORTED';
  refused(() => createServer(), wrong, /createServer needs cert/);
  refused(
    () => createServer({ ...CREDENTIALS, clientCA: caPem } as ServerOptions),
    wrong,
    /did you mean clientCa\?/,
  );
  refused(() => createServer({ rdma: 'tcp' } as unknown as ServerOptions), wrong, /'session' or 'rsocket'/);
  refused(
    () => createServer(CREDENTIALS).listen('/tmp/x.sock' as unknown as number),
    missing,
    /UNIX sockets/,
  );
  refused(() => dial(1, { rdma: 'tcp' } as never), wrong, /'session' or 'rsocket'/);
  refused(() => dial(1, { cert: client.certPem }), wrong, /cert and key, or neither/);
  refused(() => dial(1, { localAddress: '127.0.0.1' } as never), missing, /localAddress/);
  refused(() => dial(1, { onread: {} } as never), wrong, /onread must be an object with buffer/);
  refused(() => connect({ path: '/tmp/x.sock' } as never), missing, /UNIX sockets/);
  refused(() => dial(0), wrong, /port must be an integer from 1/);
  refused(() => new Socket({ fd: 3 } as never), missing, /open handle/);
  const plainOptions = { rdma: 'rsocket', device: FREE_DEVICE } as const;
  refused(() => createServer({ ...CREDENTIALS, ...plainOptions }), wrong, /authenticates nobody/);
  refused(() => connect({ port: 1, ca: caPem, ...plainOptions }), wrong, /authenticates nobody/);
  for (const option of [{ recoveryMillis: 0 }, { keepAliveMillis: 1000 }, { slots: 1 }, { onAudit() {} }]) {
    refused(() => createServer({ ...option, ...plainOptions }), wrong, /has no session/);
  }
  refused(() => createServer({ encryption: 'aes-256-gcm', ...plainOptions }), wrong, /hides nothing/);
  refused(() => new Socket({ ca: caPem, ...plainOptions }), wrong, /authenticates nobody/);
  refused(() => createServer({ ...CREDENTIALS, udpPort: 4791 }), wrong, /udpPort .* 'rsocket' } alone/);
  refused(() => dial(1, { iomapEntries: 1 }), wrong, /iomapEntries .* 'rsocket' } alone/);
  const plain = connect({ port: 1, host: '127.0.0.1', rdma: 'rsocket' });
  assert.match((await failureOf(plain)).message, /needs device/);
  const server = await listening();
  const socket = dial(portOf(server));
  await once(socket, 'connect');
  refused(() => socket.connect({ port: 1 }), 'ERR_RDMA_INVALID_STATE', /wait for its close/);
  socket.destroy();
  await closing(server);
});
