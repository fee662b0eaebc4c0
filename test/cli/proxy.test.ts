/** The proxy as people run it: TCP clients, two proxies with RDMA between them, and a TCP service. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { devCerts, FREE_DEVICE, Program, runProgram } from '../../testkit/program.js';

/** Addresses of this process alone: rsockets of two hosts have UDP port 4791 both. */
const RSOCKET_HOSTS = [1, 2].map((end) => {
  const number = (process.pid % 2 ** 20) * 4 + end;
  return `127.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
});
const servers = new Set<Server>();
after(() => {
  for (const server of servers) server.close();
});

/** A TCP service; it takes half-open sockets, as the proxy does. */
async function service(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, serve);
  servers.add(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

interface Chain {
  /** Of the first proxy, for TCP clients. */
  readonly port: number;
  readonly near: Program;
  readonly far: Program;
}

async function chain(servicePort: number, dialect: 'session' | 'rsocket' = 'session'): Promise<Chain> {
  const sides =
    dialect === 'session'
      ? [
          [...FREE_DEVICE, ...devCerts()],
          [...FREE_DEVICE, ...devCerts()],
        ]
      : RSOCKET_HOSTS.map((host) => ['--rsocket', '--device', `soft:${host}`]);
  const host = dialect === 'session' ? '127.0.0.1' : RSOCKET_HOSTS[0];
  const far = new Program([
    ...['proxy', '--json', '--listen', `rdma:${host}:0`, '--to', `tcp:127.0.0.1:${servicePort}`],
    ...(sides[0] ?? []),
  ]);
  const rdmaPort = (await far.event('listening'))['port'];
  const near = new Program([
    ...['proxy', '--json', '--listen', 'tcp:127.0.0.1:0', '--to', `rdma:${host}:${rdmaPort}`],
    ...(sides[1] ?? []),
  ]);
  const port = (await near.event('listening'))['port'] as number;
  return { port, near, far };
}

async function stop({ near, far }: Chain): Promise<void> {
  for (const program of [near, far]) {
    program.kill('SIGTERM');
    const { code, stderr } = await program.ended;
    assert.equal(code, 0, stderr);
  }
}

for (const dialect of ['session', 'rsocket'] as const) {
  test(`${dialect}: bytes travel through both proxies, ends one by one, and the counters say how many`, async () => {
    const port = await service((socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk) => hash.update(chunk));
      // It answers only when the client has ended its direction.
      socket.on('end', () => socket.end(hash.digest('hex')));
    });
    const all = await chain(port, dialect);
    const bytes = randomBytes(3 * 1024 * 1024 + 5);
    const client = connect({ port: all.port, host: '127.0.0.1', allowHalfOpen: true });
    client.end(bytes);
    let answer = '';
    for await (const chunk of client) answer += String(chunk);
    assert.equal(answer, createHash('sha256').update(bytes).digest('hex'));
    const told = { bytesThere: bytes.length, bytesBack: 64, error: null };
    for (const program of [all.near, all.far]) {
      const { bytesThere, bytesBack, error } = await program.event('closed');
      assert.deepEqual({ bytesThere, bytesBack, error }, told);
    }
    await stop(all);
    const { connections, failed } = await all.near.event('summary');
    assert.deepEqual({ connections, failed }, { connections: 1, failed: 0 });
  });
}

for (const dialect of ['session', 'rsocket'] as const) {
  test(`${dialect}: a reset travels through, in both directions`, async () => {
    const came: Socket[] = [];
    const port = await service((socket) => came.push(socket.on('error', () => {}).resume()));
    const all = await chain(port, dialect);
    const first = connect({ port: all.port, host: '127.0.0.1' });
    first.write('hello');
    // A proxy that has bytes to read when the reset comes sees an end after them: node:net tells no more.
    await until(() => came[0]?.bytesRead === 5);
    const there = new Promise<NodeJS.ErrnoException>((resolve) => came[0]?.once('error', resolve));
    first.resetAndDestroy();
    assert.equal((await there).code, 'ECONNRESET');
    const second = connect({ port: all.port, host: '127.0.0.1' });
    const back = new Promise<NodeJS.ErrnoException>((resolve) => second.once('error', resolve).resume());
    second.write('hello');
    await until(() => came[1]?.bytesRead === 5);
    came[1]?.resetAndDestroy();
    assert.equal((await back).code, 'ECONNRESET');
    const { error } = await all.near.event('closed', ({ id }) => id === 1);
    assert.deepEqual(
      [Reflect.get(Object(error), 'side'), Reflect.get(Object(error), 'code')],
      ['incoming', 'ECONNRESET'],
    );
    await stop(all);
  });
}

test('where nobody is at the other end, the client is reset and the proxy says why', async () => {
  const closedPort = await service(() => {});
  for (const server of servers) server.close();
  const all = await chain(closedPort);
  const client = connect({ port: all.port, host: '127.0.0.1' });
  client.write('anybody?');
  const [error] = (await once(client.resume(), 'error').catch((failure: unknown) => [failure])) as [unknown];
  assert.equal(Reflect.get(Object(error), 'code'), 'ECONNRESET');
  assert.equal((await all.far.event('failed'))['code'], 'ECONNREFUSED');
  all.far.kill('SIGTERM');
  await all.far.ended;
  const late = connect({ port: all.port, host: '127.0.0.1' }).on('error', () => {});
  const { code, message } = await all.near.event('failed');
  assert.equal(code, 'ECONNREFUSED');
  assert.match(String(message), /nothing listens there/);
  late.destroy();
  all.near.kill('SIGTERM');
  assert.equal((await all.near.ended).code, 0);
});

test('a signal ends the proxy also while it reaches for the other end', async () => {
  // Takes connections and says nothing.
  const silent = await service((socket) => socket.on('error', () => {}));
  const near = new Program([
    ...['proxy', '--json', '--listen', 'tcp:127.0.0.1:0', '--to', `rdma:127.0.0.1:${silent}`],
    ...[...FREE_DEVICE, ...devCerts()],
  ]);
  const port = (await near.event('listening'))['port'] as number;
  const client = connect({ port, host: '127.0.0.1' }).on('error', () => {});
  await near.event('opened');
  near.kill('SIGTERM');
  assert.equal((await near.ended).code, 0);
  assert.match(String((await near.event('failed'))['message']), /before the other side was reached/);
  client.destroy();
});

test('flags that would have no effect are refused', async () => {
  const plain = ['proxy', '--rsocket', '--listen', 'rdma:127.0.0.1:0', '--to', 'tcp:127.0.0.1:1'];
  for (const flags of [['--client-ca', 'x.pem'], ['--encrypt'], ['--dev-certs', 'certs']]) {
    const { code, stderr } = await runProgram([...plain, ...flags]);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`${flags[0]} has no effect with --rsocket`));
  }
  const both = ['proxy', '--listen', 'rdma:127.0.0.1:0', '--to', 'tcp:127.0.0.1:1'];
  assert.match(
    (await runProgram([...both, '--ca', 'x.pem'])).stderr,
    /--ca has no effect with --listen rdma/,
  );
  assert.match(
    (await runProgram([...both, '--udp-port', '4792'])).stderr,
    /--udp-port has no effect without/,
  );
});

test('two ends of one kind, and ends that are none, are wrong; so is a port that is taken', async () => {
  const both = await runProgram(['proxy', '--listen', 'tcp:127.0.0.1:0', '--to', 'tcp:127.0.0.1:1']);
  assert.equal(both.code, 2);
  assert.match(both.stderr, /both tcp/);
  const none = await runProgram(['proxy', '--listen', '127.0.0.1:0', '--to', 'rdma:127.0.0.1:1']);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /tcp:HOST:PORT or rdma:HOST:PORT/);
  const port = await service(() => {});
  const taken = await runProgram([
    ...['proxy', '--listen', `rdma:127.0.0.1:${port}`, '--to', 'tcp:127.0.0.1:1'],
    ...[...FREE_DEVICE, ...devCerts()],
  ]);
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /another program uses that port/);
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}
