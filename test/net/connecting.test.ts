/** How sockets connect, in node:net and here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { BlockList, type Socket } from 'node:net';
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

const CONNECTING: readonly Row[] = [
  [
    'connect, ready and then data; connecting and pending follow',
    async (world) => {
      const server = await listening(world, (socket) => socket.end('hello'));
      const socket = connecting(world, server);
      const told: string[] = [];
      for (const event of ['connect', 'ready', 'data', 'end', 'close'])
        socket.on(event, () => told.push(event));
      assert.deepEqual([socket.connecting, socket.pending, socket.readyState], [true, true, 'opening']);
      await once(socket, 'connect');
      assert.deepEqual([socket.connecting, socket.pending, socket.readyState], [false, false, 'open']);
      await once(socket, 'close');
      assert.deepEqual(told, ['connect', 'ready', 'data', 'end', 'close']);
      await closing(server);
    },
  ],
  [
    'a listener that is given to connect is called once, when it is connected',
    async (world) => {
      const server = await listening(world);
      const socket = await new Promise<Socket>((resolve) => {
        const made: Socket = world.net.connect(
          { port: portOf(server), host: '127.0.0.1', ...world.clientOptions },
          () => resolve(made),
        );
      });
      assert.equal(socket.connecting, false);
      assert.equal(socket.listenerCount('connect'), 0);
      socket.destroy();
      await closing(server);
    },
  ],
  [
    'what is written before it is connected leaves when it is, in order',
    async (world) => {
      const server = await listening(world);
      const taking = once(server, 'connection') as Promise<[Socket]>;
      const socket = connecting(world, server);
      socket.write('one ');
      socket.write('two ');
      socket.end('three');
      assert.equal(socket.bytesWritten, 13);
      const [taken] = await taking;
      assert.equal(await rest(taken), 'one two three');
      assert.equal(socket.bytesWritten, 13);
      assert.equal(taken.bytesRead, 13);
      socket.resume();
      await closing(server);
    },
  ],
  [
    'both ends know their addresses, and those of each other',
    async (world) => {
      const all = await pair(world);
      const { client, taken, server } = all;
      assert.deepEqual(client.address(), {
        address: '127.0.0.1',
        family: 'IPv4',
        port: client.localPort,
      });
      assert.equal(client.remotePort, portOf(server));
      assert.equal(taken.localPort, portOf(server));
      assert.equal(taken.remotePort, client.localPort);
      for (const socket of [client, taken]) {
        assert.deepEqual([socket.localAddress, socket.remoteAddress], ['127.0.0.1', '127.0.0.1']);
        assert.deepEqual([socket.localFamily, socket.remoteFamily], ['IPv4', 'IPv4']);
      }
      await over(all);
    },
  ],
  [
    'a socket that is made first connects later, by a port and a host alone',
    async (world) => {
      const server = await listening(world, (socket) => socket.end('seen'));
      const client = new world.net.Socket(world.clientOptions);
      client.connect(portOf(server), '127.0.0.1');
      assert.equal(await rest(client), 'seen');
      await closing(server);
    },
  ],
  [
    'a socket that has closed connects again, in its listener of close at the earliest, as if it were new',
    async (world) => {
      let count = 0;
      const server = await listening(world, (socket) =>
        socket
          .on('error', () => {})
          .resume()
          .end(`number ${++count}`),
      );
      const target = { port: portOf(server), host: '127.0.0.1', ...world.clientOptions };
      const client = world.net.connect(target).setEncoding('utf8');
      client.write('hello');
      const told: string[] = [];
      client.on('data', (text) => told.push(String(text))).on('end', () => told.push('end'));
      await new Promise<void>((resolve) => {
        client.once('close', () => {
          client.connect(target);
          resolve();
        });
      });
      assert.deepEqual([client.connecting, client.destroyed], [true, false]);
      assert.deepEqual([client.bytesRead, client.bytesWritten], [0, 0]);
      await once(client, 'close');
      assert.deepEqual(told, ['number 1', 'end', 'number 2', 'end']);
      assert.equal(client.bytesRead, 8);
      client.connect(target);
      await once(client, 'connect');
      const failing = failure(client);
      client.destroy(new Error('enough'));
      assert.equal((await failing).message, 'enough');
      if (!client.closed) await once(client, 'close');
      assert.equal(client.listenerCount('connect'), 0);
      await closing(server);
    },
  ],
  [
    'a socket that nobody connected has no addresses, and state open as both its sides are',
    async ({ net }) => {
      const socket = new net.Socket();
      assert.deepEqual(socket.address(), {});
      assert.deepEqual(
        [socket.remoteAddress, socket.remotePort, socket.localPort],
        [undefined, undefined, undefined],
      );
      assert.deepEqual([socket.connecting, socket.pending, socket.readyState], [false, true, 'open']);
      socket.destroy();
    },
  ],
  [
    'lookup tells the addresses of a name before connect, and nothing of an address',
    async (world) => {
      const server = await listening(world);
      const named = connecting(world, server, { host: 'localhost', family: 4 });
      const told: unknown[] = [];
      named.on('lookup', (...values: unknown[]) => told.push(values));
      await once(named, 'connect');
      assert.deepEqual(told, [[null, '127.0.0.1', 4, 'localhost']]);
      named.destroy();
      const numbered = connecting(world, server);
      numbered.on('lookup', () => told.push(['again']));
      await once(numbered, 'connect');
      assert.equal(told.length, 1);
      numbered.destroy();
      await closing(server);
    },
  ],
  [
    'a lookup function of the program is asked, and its failure is the error',
    async (world) => {
      const server = await listening(world);
      const asked: string[] = [];
      const found = connecting(world, server, {
        host: 'localhost',
        lookup: (name, _options, answer) => {
          asked.push(name);
          process.nextTick(() => answer(null, [{ address: '127.0.0.1', family: 4 }]));
        },
      });
      await once(found, 'connect');
      assert.deepEqual(asked, ['localhost']);
      found.destroy();
      const lost = connecting(world, server, {
        host: 'nowhere.example',
        lookup: (_name, _options, answer) => {
          process.nextTick(() => answer(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []));
        },
      });
      assert.equal((await failure(lost)).code, 'ENOTFOUND');
      await closing(server);
    },
  ],
  [
    'each address that is tried is told, and why it failed; connect comes at the first that answers',
    async (world) => {
      const server = await listening(world);
      const port = portOf(server);
      const socket = connecting(world, server, {
        host: 'localhost',
        lookup: (_name, _options, answer) => {
          const found = [
            { address: '::1', family: 6 },
            { address: '127.0.0.1', family: 4 },
          ];
          process.nextTick(() => answer(null, found));
        },
      });
      const told: unknown[] = [];
      socket.on('connectionAttempt', (...values: unknown[]) => told.push(values));
      socket.on('connectionAttemptFailed', (address, at, family, error) =>
        told.push([address, at, family, error instanceof Error]),
      );
      await within(once(socket, 'connect'), SURE_MILLIS);
      assert.deepEqual(told, [
        ['::1', port, 6],
        ['::1', port, 6, true],
        ['127.0.0.1', port, 4],
      ]);
      assert.deepEqual(socket.autoSelectFamilyAttemptedAddresses, [`::1:${port}`, `127.0.0.1:${port}`]);
      socket.destroy();
      await closing(server);
    },
  ],
  [
    'sockets that connect at the same time are each told of the attempt',
    async (world) => {
      const server = await listening(world);
      const told: string[] = [];
      const sockets = [1, 2].map(() =>
        connecting(world, server).on('connectionAttempt', (address) => told.push(address)),
      );
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
      assert.deepEqual(told, ['127.0.0.1', '127.0.0.1']);
      for (const socket of sockets) socket.destroy();
      await closing(server);
    },
  ],
  [
    'family chooses among the addresses of a name',
    async (world) => {
      const server = await listening(world);
      const asked: unknown[] = [];
      const socket = connecting(world, server, {
        host: 'localhost',
        family: 4,
        lookup: (_name, options, answer) => {
          asked.push(options.family);
          const found = [{ address: '127.0.0.1', family: 4 }];
          process.nextTick(() => (options.all ? answer(null, found) : answer(null, '127.0.0.1', 4)));
        },
      });
      await once(socket, 'connect');
      assert.deepEqual(asked, [4]);
      assert.equal(socket.remoteFamily, 'IPv4');
      socket.destroy();
      await closing(server);
    },
  ],
  [
    'an address of the blockList is not connected to: ERR_IP_BLOCKED',
    async (world) => {
      const server = await listening(world);
      const blockList = new BlockList();
      blockList.addSubnet('127.0.0.0', 8);
      const socket = connecting(world, server, { blockList } as object);
      assert.equal((await failure(socket)).code, 'ERR_IP_BLOCKED');
      await closing(server);
    },
    { 'node:net': 'before Node.js 22 it has no blockList' },
  ],
  [
    'without a host, or with one that is empty or null, it is localhost',
    async (world) => {
      const server = await listening(world);
      for (const host of [undefined, '', null]) {
        const socket = connecting(world, server, { host: host as string, family: 4 });
        await once(socket, 'connect');
        assert.equal(socket.remoteAddress, '127.0.0.1');
        socket.destroy();
      }
      await closing(server);
    },
  ],
  [
    'what a listener of connect throws is no error of the socket, which stays connected',
    async (world) => {
      const server = await listening(world, (socket) => socket.end('hello'));
      const socket = connecting(world, server);
      socket.on('error', (error) => assert.fail(error));
      socket.once('connect', () => {
        throw new Error('of the program');
      });
      assert.match(String(await uncaught()), /of the program/);
      assert.equal(socket.destroyed, false);
      assert.equal(await rest(socket), 'hello');
      await closing(server);
    },
  ],
  [
    'nobody listens: ECONNREFUSED with errno, syscall, address and port, and close says that there was an error',
    async (world) => {
      const server = await listening(world);
      const port = portOf(server);
      await closing(server);
      const socket = world.net.connect({ port, host: '127.0.0.1', ...world.clientOptions });
      const ended = closed(socket);
      const error = await failure(socket);
      assert.equal(error.code, 'ECONNREFUSED');
      assert.equal(error.syscall, 'connect');
      assert.equal(error.errno, -111);
      assert.match(error.message, /^connect ECONNREFUSED 127\.0\.0\.1:\d+/);
      assert.deepEqual([Reflect.get(error, 'address'), Reflect.get(error, 'port')], ['127.0.0.1', port]);
      assert.equal(await ended, true);
      assert.deepEqual([socket.connecting, socket.destroyed, socket.readyState], [false, true, 'closed']);
    },
  ],
  [
    'destroyed while it connects: close, and neither connect nor an error',
    async (world) => {
      const server = await listening(world);
      const socket = connecting(world, server);
      const told: string[] = [];
      for (const event of ['connect', 'error', 'close']) socket.on(event, () => told.push(event));
      socket.write('never sent');
      socket.destroy();
      assert.equal(socket.connecting, false);
      assert.equal(await closed(socket), false);
      assert.deepEqual(told, ['close']);
      await closing(server);
    },
  ],
  [
    'a signal ends it, before it is connected and after',
    async (world) => {
      const server = await listening(world);
      const early = new AbortController();
      const never = connecting(world, server, { signal: early.signal });
      early.abort();
      assert.equal((await failure(never)).name, 'AbortError');
      const late = new AbortController();
      const up = connecting(world, server, { signal: late.signal });
      await once(up, 'connect');
      late.abort();
      const error = await failure(up);
      assert.deepEqual([error.name, error.code], ['AbortError', 'ABORT_ERR']);
      await closing(server);
    },
  ],
  [
    'a signal that has aborted already is an error and close, not an exception',
    async (world) => {
      const signal = AbortSignal.abort();
      const socket = world.net.connect({ port: 1, host: '127.0.0.1', ...world.clientOptions, signal });
      const ended = closed(socket);
      assert.equal((await failure(socket)).name, 'AbortError');
      await ended;
    },
  ],
  [
    'ports may be texts, and ports that are none are refused at once',
    async (world) => {
      const server = await listening(world);
      const socket = world.net.connect({
        port: String(portOf(server)) as unknown as number,
        host: '127.0.0.1',
        ...world.clientOptions,
      });
      await once(socket, 'connect');
      socket.destroy();
      for (const port of [-1, 65_536, 1.5, Number.NaN]) {
        assert.throws(() => world.net.connect({ port, host: '127.0.0.1', ...world.clientOptions }));
      }
      await closing(server);
    },
  ],
];

testRows('connecting', CONNECTING);

/** What the program throws next where nobody catches it. */
function uncaught(): Promise<unknown> {
  return new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback((error) => {
      process.setUncaughtExceptionCaptureCallback(null);
      resolve(error);
    });
  });
}
