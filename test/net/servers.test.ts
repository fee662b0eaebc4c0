/** What a server does, in node:net and here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, BlockList, type DropArgument, type Server, type Socket } from 'node:net';
import { within } from '../../testkit/within.js';
import {
  closed,
  closing,
  connecting,
  failure,
  listening,
  over,
  pair,
  portOf,
  type Row,
  rest,
  SURE_MILLIS,
  testRows,
} from './world.js';

const LISTENING: readonly Row[] = [
  [
    'listen gives the server back and tells listening; address and listening follow, until it closes',
    async ({ net, serverOptions }) => {
      const server = net.createServer(serverOptions);
      assert.deepEqual([server.address(), server.listening], [null, false]);
      const told = once(server, 'listening');
      assert.equal(server.listen({ port: 0, host: '127.0.0.1' }), server);
      await told;
      const { address, family, port } = server.address() as AddressInfo;
      assert.deepEqual([address, family, port > 0, server.listening], ['127.0.0.1', 'IPv4', true, true]);
      await closing(server);
      assert.deepEqual([server.address(), server.listening], [null, false]);
    },
  ],
  [
    'all the ways to say where: port and host, with a backlog, with a listener, as options',
    async ({ net, serverOptions }) => {
      const ways: readonly ((server: Server, done: () => void) => void)[] = [
        (server, done) => server.listen(0, '127.0.0.1', done),
        (server, done) => server.listen(0, '127.0.0.1', 64, done),
        (server, done) => server.listen({ port: 0, host: '127.0.0.1', backlog: 64 }, done),
        (server, done) => server.listen(0, done),
        (server, done) => server.listen(done),
      ];
      for (const way of ways) {
        const server = net.createServer(serverOptions);
        await new Promise<void>((resolve) => way(server, resolve));
        assert.ok(portOf(server) > 0);
        await closing(server);
      }
    },
  ],
  [
    'a port that is taken is EADDRINUSE, with errno, syscall, address and port; the server can listen again',
    async (world) => {
      const first = await listening(world);
      const port = portOf(first);
      const second = world.net.createServer(world.serverOptions);
      const error = failure(second);
      second.listen(port, '127.0.0.1');
      const { code, errno, syscall, message } = await error;
      assert.deepEqual([code, errno, syscall], ['EADDRINUSE', -98, 'listen']);
      assert.match(message, /EADDRINUSE/);
      assert.equal(second.listening, false);
      second.listen(0, '127.0.0.1');
      await once(second, 'listening');
      await Promise.all([closing(first), closing(second)]);
    },
  ],
  [
    'an address of another machine is EADDRNOTAVAIL',
    async ({ net, serverOptions }) => {
      const server = net.createServer(serverOptions);
      const error = failure(server);
      server.listen(0, '192.0.2.1');
      assert.equal((await error).code, 'EADDRNOTAVAIL');
    },
  ],
  [
    'a server that listens cannot listen again before it has closed, and can afterwards',
    async (world) => {
      const server = await listening(world);
      assert.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' });
      await closing(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      await closing(server);
    },
  ],
  [
    'the listener of createServer gets each socket, as connection does',
    async (world) => {
      const sockets: Socket[] = [];
      const server = await listening(world, (socket) => sockets.push(socket));
      const client = connecting(world, server);
      const [told] = (await once(server, 'connection')) as [Socket];
      assert.equal(sockets[0], told);
      assert.ok(told instanceof world.net.Socket);
      assert.equal(Reflect.get(told, 'server'), server);
      client.destroy();
      told.destroy();
      await closing(server);
    },
  ],
  [
    'a signal closes it',
    async ({ net, serverOptions }) => {
      const controller = new AbortController();
      const server = net.createServer(serverOptions);
      server.listen({ port: 0, host: '127.0.0.1', signal: controller.signal });
      await once(server, 'listening');
      const ended = once(server, 'close');
      controller.abort();
      await ended;
      assert.equal(server.listening, false);
    },
  ],
  [
    'ports that are none, and paths of nothing, are refused at once',
    async ({ net, serverOptions }) => {
      const server = net.createServer(serverOptions);
      assert.throws(() => server.listen(-1));
      assert.throws(() => server.listen(65_536));
      assert.throws(() => server.listen({ port: 'x1' as unknown as number, path: undefined } as object));
    },
  ],
  [
    'options of listen that ask for nothing are taken: exclusive, readableAll, writableAll, ipv6Only: false',
    async ({ net, serverOptions }) => {
      const server = net.createServer(serverOptions);
      const options = { exclusive: true, readableAll: true, writableAll: true, ipv6Only: false };
      server.listen({ port: 0, host: '127.0.0.1', ...options });
      await once(server, 'listening');
      await closing(server);
    },
  ],
];

const CLOSING: readonly Row[] = [
  [
    'close is told though the program took all listeners off its sockets, as some do that upgrade them to TLS',
    async (world) => {
      const server = await listening(world, (socket) => {
        socket.removeAllListeners();
        socket.on('error', () => {});
        socket.resume().end('seen');
      });
      const client = connecting(world, server);
      assert.equal(await rest(client), 'seen');
      await closing(server);
    },
  ],
  [
    'close waits for the sockets that are open, and takes no new ones meanwhile',
    async (world) => {
      const { client, taken, server } = await pair(world);
      const port = portOf(server);
      let isClosed = false;
      const ended = new Promise<unknown>((resolve) => {
        assert.equal(
          server.close((error) => {
            isClosed = true;
            resolve(error);
          }),
          server,
        );
      });
      assert.equal(server.listening, false);
      const late = world.net.connect({ port, host: '127.0.0.1', ...world.clientOptions });
      const refused = failure(late);
      await refused;
      assert.equal(isClosed, false);
      client.end('still here');
      assert.equal(await rest(taken), 'still here');
      client.resume();
      assert.equal(await ended, undefined);
    },
  ],
  [
    'closing a server that does not listen is ERR_SERVER_NOT_RUNNING for the listener, and close',
    async ({ net, serverOptions }) => {
      const server = net.createServer(serverOptions);
      const told = once(server, 'close');
      const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => server.close(resolve));
      assert.equal(error?.code, 'ERR_SERVER_NOT_RUNNING');
      await told;
    },
  ],
  [
    'getConnections counts sockets that are open',
    async (world) => {
      const { client, taken, server } = await pair(world);
      assert.equal(await count(server), 1);
      const gone = closed(taken);
      taken.resume();
      client.resume();
      client.end();
      await gone;
      assert.equal(await count(server), 0);
      await closing(server);
    },
  ],
  [
    'Symbol.asyncDispose closes it, and is nothing for one that does not listen',
    async (world) => {
      const server = await listening(world);
      await server[Symbol.asyncDispose]();
      assert.equal(server.listening, false);
      await server[Symbol.asyncDispose]();
    },
  ],
  [
    'ref and unref give the server back',
    async (world) => {
      const server = await listening(world);
      assert.equal(server.unref(), server);
      assert.equal(server.ref(), server);
      await closing(server);
    },
  ],
];

const LIMITS: readonly Row[] = [
  [
    'beyond maxConnections a socket is dropped, and told with its addresses',
    async (world) => {
      const all = await pair(world);
      const { server } = all;
      server.maxConnections = 1;
      const dropping = once(server, 'drop') as Promise<[DropArgument]>;
      const second = connecting(world, server);
      second.on('error', () => {});
      second.resume();
      const ended = closed(second);
      const [dropped] = await within(dropping, SURE_MILLIS);
      assert.deepEqual(
        [dropped.localAddress, dropped.localPort, dropped.localFamily],
        ['127.0.0.1', portOf(server), 'IPv4'],
      );
      assert.deepEqual([dropped.remoteAddress, dropped.remoteFamily], ['127.0.0.1', 'IPv4']);
      assert.ok((dropped.remotePort ?? 0) > 0);
      await ended;
      assert.equal(await count(server), 1);
      server.maxConnections = 2;
      const third = connecting(world, server);
      await once(server, 'connection');
      third.destroy();
      await over(all);
    },
  ],
  [
    'an address of the blockList gets no socket',
    async (world) => {
      const blockList = new BlockList();
      blockList.addAddress('127.0.0.1');
      const server = await listening(world, () => assert.fail('it was taken'), { blockList } as object);
      const client = connecting(world, server);
      client.on('error', () => {}).resume();
      await closed(client);
      assert.equal(await count(server), 0);
      await closing(server);
    },
    { 'node:net': 'before Node.js 22 it has no blockList' },
  ],
  [
    'highWaterMark, noDelay and keepAlive are those of its sockets',
    async (world) => {
      const options = { highWaterMark: 4096, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
      const all = await pair(world, { server: options });
      const { readableHighWaterMark, writableHighWaterMark } = all.taken;
      assert.deepEqual([readableHighWaterMark, writableHighWaterMark], [4096, 4096]);
      await over(all);
    },
  ],
  [
    'many sockets at the same time, each with its own bytes',
    async (world) => {
      const server = await listening(world, (socket) => socket.pipe(socket));
      const echoes = await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const socket = connecting(world, server);
          socket.end(`socket ${i}`);
          return rest(socket);
        }),
      );
      assert.deepEqual(
        echoes,
        echoes.map((_, i) => `socket ${i}`),
      );
      await closing(server);
    },
  ],
];

testRows('servers', [...LISTENING, ...CLOSING, ...LIMITS]);

function count(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, number) => (error === null ? resolve(number) : reject(error))),
  );
}
