/** Servers that are met by TCP first, as they run under librspreload with RDMAV_FORK_SAFE=1. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as nodeNet from 'node:net';
import { after, test } from 'node:test';
import * as net from '../../../src/net.js';
import { openDevice } from '../../../src/open-device.js';
import { FREE_DEVICE } from '../../../testkit/session-pair.js';
import { within } from '../../../testkit/within.js';

const device = await openDevice(FREE_DEVICE);
after(() => device.close());
const PLAIN = { rdma: 'rsocket', device, udpPort: (await device.queryPort()).udpPort } as const;

/** A server by TCP, as librspreload has it, which begins with `greet`. */
async function tcpServer(
  greet: (socket: nodeNet.Socket) => void,
): Promise<nodeNet.Server & { port: number }> {
  const server = nodeNet.createServer((socket) => greet(socket.on('error', () => {})));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return Object.assign(server, { port: (server.address() as nodeNet.AddressInfo).port });
}

const dial = (port: number): net.Socket => net.connect({ port, host: '127.0.0.1', forkSafe: true, ...PLAIN });

async function failureOf(socket: net.Socket): Promise<NodeJS.ErrnoException> {
  const [error] = (await within(once(socket, 'error'), 10_000)) as [NodeJS.ErrnoException];
  return error;
}

test('the rsocket begins when four zero bytes came, however they were cut, and TCP ends then', async () => {
  const echo = net.createServer(PLAIN, (socket) => socket.pipe(socket));
  let tcpEnded: Promise<unknown> | undefined;
  const server = await tcpServer(async (socket) => {
    tcpEnded = once(socket.resume(), 'close');
    socket.write(Buffer.alloc(1));
    assert.equal(echo.listening, false);
    await once(echo.listen(server.port, '127.0.0.1'), 'listening');
    socket.write(Buffer.alloc(3));
  });
  const client = dial(server.port);
  const closed = once(client, 'close');
  client.end('greeted');
  const [bytes] = await within(once(client, 'data'), 10_000);
  assert.equal(String(bytes), 'greeted');
  client.resume();
  await within(Promise.all([tcpEnded, closed]), 20_000);
  await Promise.all([echo[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]);
});

test('a server that is none of these, or leaves, is an error that says so', async () => {
  const talker = await tcpServer((socket) => socket.write('HTTP/1.1 400'));
  const { code, message } = await failureOf(dial(talker.port));
  assert.equal(code, 'ERR_RDMA_PROTOCOL');
  assert.match(message, /is no server under librspreload with RDMAV_FORK_SAFE=1/);
  const leaver = await tcpServer((socket) => socket.end(Buffer.alloc(2)));
  assert.equal((await failureOf(dial(leaver.port))).code, 'ECONNRESET');
  await Promise.all([talker[Symbol.asyncDispose](), leaver[Symbol.asyncDispose]()]);
  assert.equal((await failureOf(dial(talker.port))).code, 'ECONNREFUSED');
});

test('a socket that is destroyed while it waits for the greeting lets TCP go', async () => {
  const server = await tcpServer(() => {});
  const taking = once(server, 'connection') as Promise<[nodeNet.Socket]>;
  const client = dial(server.port);
  const [socket] = await taking;
  const ended = once(socket.resume(), 'close');
  client.destroy();
  await within(ended, 10_000);
  await server[Symbol.asyncDispose]();
});

test('forkSafe is for clients with rsockets alone', () => {
  assert.throws(() => net.connect({ port: 1, forkSafe: true }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
});
