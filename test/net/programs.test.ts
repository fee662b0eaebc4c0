/** Programs of Node that know nothing of RDMA, over its sockets: HTTP/1.1, HTTP/2 and TLS. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { testCertificates } from '../../testkit/session-pair.js';
import { closing, listening, portOf, WORLDS, type World } from './world.js';

const { caPem, server: certificates } = await testCertificates();
const MEBI = 1024 * 1024;

for (const world of WORLDS) {
  test(`${world.name}: a server of node:http, and an agent that keeps its sockets`, {
    timeout: 60_000,
  }, async () => {
    const peers = new Set<unknown>();
    const { server, sockets } = await httpServer(world, (request, response) => {
      peers.add(request.socket);
      if (request.method === 'POST') request.pipe(response);
      else response.end(`hello ${request.url}`);
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    Object.assign(agent, { createConnection: dial(world, server) });
    for (let i = 0; i < 5; i++) {
      assert.equal(String(await requestOf(agent, `/${i}`)), `hello /${i}`);
    }
    assert.equal(peers.size, 1, 'five requests over one socket');
    const sent = randomBytes(4 * MEBI + 17);
    assert.deepEqual(digest(await requestOf(agent, '/echo', sent)), digest(sent));
    agent.destroy();
    await closing(server);
    assert.equal(sockets.listening, false);
  });

  test(`${world.name}: 200 requests at once over as many sockets`, { timeout: 60_000 }, async () => {
    const { server } = await httpServer(world, (request, response) => response.end(request.url));
    const agent = new http.Agent({ keepAlive: true });
    Object.assign(agent, { createConnection: dial(world, server) });
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => String(await requestOf(agent, `/${i}`))),
    );
    assert.deepEqual(
      answers,
      answers.map((_, i) => `/${i}`),
    );
    agent.destroy();
    await closing(server);
  });

  test(`${world.name}: a server and a client of node:http2, with streams at the same time`, {
    timeout: 60_000,
  }, async () => {
    const application = http2.createServer();
    application.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200 });
      if (headers[':method'] === 'POST') stream.pipe(stream);
      else stream.end(`hello ${headers[':path']}`);
    });
    const server = await listening(world, (socket) => application.emit('connection', socket));
    const session = http2.connect('http://127.0.0.1', { createConnection: dial(world, server) });
    const bytes = randomBytes(2 * MEBI);
    const [text, echo] = await Promise.all([
      http2Answer(session.request({ ':path': '/a' })),
      http2Answer(session.request({ ':path': '/b', ':method': 'POST' }), bytes),
    ]);
    assert.equal(String(text), 'hello /a');
    assert.deepEqual(digest(echo), digest(bytes));
    session.close();
    await once(session, 'close');
    await closing(server);
  });

  test(`${world.name}: TLS of node:tls over a socket, in both directions`, { timeout: 60_000 }, async () => {
    const context = tls.createSecureContext({ cert: certificates.certPem, key: certificates.keyPem });
    // node:tls goes on writing after the peer's end.
    const options = { allowHalfOpen: true };
    const echo = (socket: Socket): void => {
      const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: context });
      secure.pipe(secure);
    };
    const server = await listening(world, echo, options);
    const secure = tls.connect({ socket: dial(world, server)(), ca: caPem, servername: 'localhost' });
    const bytes = randomBytes(MEBI);
    secure.end(bytes);
    assert.deepEqual(digest(await all(secure)), digest(bytes));
    await closing(server);
  });
}

async function httpServer(world: World, handle: http.RequestListener) {
  const application = http.createServer(handle);
  const server = await listening(world, (socket) => application.emit('connection', socket));
  return { server, sockets: application };
}

const dial = (world: World, server: Parameters<typeof portOf>[0]) => () =>
  world.net.connect({ host: '127.0.0.1', port: portOf(server), ...world.clientOptions });

function requestOf(agent: http.Agent, path: string, body?: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const request = http.request({ agent, path, method, host: '127.0.0.1' }, (response) => {
      all(response).then(resolve, reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

function http2Answer(stream: http2.ClientHttp2Stream, body?: Buffer): Promise<Buffer> {
  stream.end(body);
  return all(stream);
}

async function all(readable: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readable) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
