/** What a socket does, in node:net and here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
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
  testRows,
} from './world.js';

/** Longer than a socket that was destroyed waits for the end of its peer. */
const LATE_MILLIS = 5500;

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
      const server = await listening(world, (socket) => socket.end(`number ${++count}`));
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

const ENDING: readonly Row[] = [
  [
    'end sends the rest and the end; the other side ends by itself, and both close without error',
    async (world) => {
      const { client, taken, server } = await pair(world);
      const both = Promise.all([closed(client), closed(taken)]);
      client.resume();
      client.end('last words');
      assert.equal(await rest(taken), 'last words');
      assert.deepEqual(await both, [false, false]);
      assert.deepEqual([client.readyState, taken.readyState], ['closed', 'closed']);
      await closing(server);
    },
  ],
  [
    'with allowHalfOpen the other side goes on writing after the end',
    async (world) => {
      const { client, taken, server } = await pair(world, { server: { allowHalfOpen: true } });
      const ended = once(taken, 'end');
      const asked = new Promise((resolve) => taken.once('data', (data) => resolve(String(data))));
      client.end('question');
      assert.equal(await asked, 'question');
      await ended;
      assert.equal(taken.readyState, 'writeOnly');
      assert.equal(client.readyState, 'readOnly');
      await turn();
      taken.end('answer');
      assert.equal(await rest(client), 'answer');
      if (!taken.closed) await once(taken, 'close');
      await closing(server);
    },
  ],
  [
    'without allowHalfOpen the socket ends its side when the other has ended its',
    async (world) => {
      const { client, taken, server } = await pair(world);
      taken.resume();
      client.resume();
      const ended = once(client, 'end');
      taken.end();
      await ended;
      assert.equal(client.writableEnded, true);
      if (!taken.closed) await once(taken, 'close');
      await closing(server);
    },
  ],
  [
    'destroy is an orderly end for the other side: what was written, then end and close without error',
    async (world) => {
      const { client, taken, server } = await pair(world);
      const told: string[] = [];
      taken.on('error', () => told.push('error')).on('end', () => told.push('end'));
      taken.setEncoding('utf8').on('data', (text: string) => told.push(text));
      const ended = closed(taken);
      await new Promise((resolve) => client.write('before', resolve));
      client.destroy();
      assert.equal(await ended, false);
      assert.deepEqual(told, ['before', 'end']);
      await closing(server);
    },
  ],
  [
    'destroy with an error tells this side alone',
    async (world) => {
      const { client, taken, server } = await pair(world);
      taken.resume();
      const others = closed(taken);
      const own = closed(client);
      const error = failure(client);
      client.write(Buffer.alloc(4_000_000));
      client.destroy(new Error('enough'));
      assert.equal((await error).message, 'enough');
      assert.equal(await own, true);
      assert.equal(await others, false);
      await closing(server);
    },
  ],
  [
    'destroy while writes wait is no error of the socket; those behind the first are ERR_STREAM_DESTROYED',
    async (world) => {
      const { client, taken, server } = await pair(world);
      taken.pause().on('error', () => {});
      const hadError = closed(client);
      const answers: unknown[] = [];
      const take = (error?: NodeJS.ErrnoException | null): void => void answers.push(error?.code);
      client.write(Buffer.alloc(20_000_000), take);
      client.write('x', take);
      await turn();
      client.destroy();
      assert.equal(await hadError, false);
      assert.equal(client.errored, null);
      assert.deepEqual(answers, [undefined, 'ERR_STREAM_DESTROYED']);
      taken.destroy();
      await closing(server);
    },
  ],
  [
    'resetAndDestroy is ECONNRESET for the other side, and no error for this one',
    async (world) => {
      const { client, taken, server } = await pair(world);
      taken.resume();
      const others = closed(taken);
      const own = closed(client);
      const error = failure(taken);
      assert.equal(client.resetAndDestroy(), client);
      const { code, syscall, errno } = await error;
      assert.deepEqual([code, syscall, errno], ['ECONNRESET', 'read', -104]);
      assert.equal(await others, true);
      assert.equal(await own, false);
      await closing(server);
    },
  ],
  [
    'a reset is the same error for error, errored and callbacks of writes',
    async (world) => {
      const { client, taken, server } = await pair(world);
      const error = failure(client);
      // The first may count as written already.
      client.write(Buffer.alloc(20_000_000));
      const written = new Promise<unknown>((resolve) => client.write('x', resolve));
      taken.resetAndDestroy();
      assert.equal(await written, await error);
      assert.equal(client.errored, await error);
      assert.ok(['ECONNRESET', 'EPIPE'].includes((await error).code ?? ''));
      await closing(server);
    },
  ],
  [
    'resetAndDestroy while it connects resets as soon as it is connected',
    async (world) => {
      const all = await pair(world);
      const failing = new Promise<NodeJS.ErrnoException>((resolve) => {
        all.server.once('connection', (taken) => taken.once('error', resolve).resume());
      });
      connecting(world, all.server).resetAndDestroy();
      assert.equal((await failing).code, 'ECONNRESET');
      await over(all);
    },
  ],
  [
    'resetAndDestroy of a socket that is not connected is ERR_SOCKET_CLOSED',
    async ({ net }) => {
      const socket = new net.Socket();
      const error = failure(socket);
      socket.resetAndDestroy();
      assert.equal((await error).code, 'ERR_SOCKET_CLOSED');
    },
  ],
  [
    'destroySoon writes what waits before it destroys',
    async (world) => {
      const { client, taken, server } = await pair(world);
      const bytes = Buffer.alloc(300_000, 'x');
      client.write(bytes);
      client.destroySoon();
      const text = await rest(taken);
      assert.equal(text.length, bytes.length);
      if (!client.closed) await once(client, 'close');
      await closing(server);
    },
  ],
  [
    'a peer that reads late gets all that was written before destroy, and the end',
    async (world) => {
      const { client, taken, server } = await pair(world, { server: { pauseOnConnect: true } });
      const chunk = Buffer.alloc(60_000, 'z');
      for (let i = 0; i < 8; i++) await new Promise((resolve) => client.write(chunk, resolve));
      client.destroy();
      await pause(LATE_MILLIS);
      assert.equal((await rest(taken)).length, 8 * chunk.length);
      await closing(server);
    },
  ],
  [
    'a peer that sends to a socket that was destroyed gets an error',
    async (world) => {
      const { client, taken, server } = await pair(world, { server: { allowHalfOpen: true } });
      taken.resume();
      const ended = once(taken, 'end');
      client.destroy();
      await ended;
      const error = failure(taken);
      const timer = setInterval(() => taken.write('anybody there?'), 5);
      const { code } = await error;
      clearInterval(timer);
      assert.ok(code === 'ECONNRESET' || code === 'EPIPE', code);
      await closing(server);
    },
  ],
  [
    'writing after end is ERR_STREAM_WRITE_AFTER_END, and after destroy ERR_STREAM_DESTROYED',
    async (world) => {
      const all = await pair(world);
      const { client } = all;
      client.end();
      const late = failure(client);
      const refused = await new Promise<NodeJS.ErrnoException>((resolve) =>
        client.write('late', (error) => resolve(error as NodeJS.ErrnoException)),
      );
      assert.equal(refused.code, 'ERR_STREAM_WRITE_AFTER_END');
      assert.equal((await late).code, 'ERR_STREAM_WRITE_AFTER_END');
      const other = connecting(world, all.server);
      await once(other, 'connect');
      other.destroy();
      const gone = await new Promise<NodeJS.ErrnoException>((resolve) =>
        other.write('later', (error) => resolve(error as NodeJS.ErrnoException)),
      );
      assert.equal(gone.code, 'ERR_STREAM_DESTROYED');
      await over(all);
    },
  ],
  [
    'writing to a socket that nobody connects is ERR_SOCKET_CLOSED',
    async ({ net }) => {
      const socket = new net.Socket();
      const error = failure(socket);
      socket.write('x');
      assert.equal((await error).code, 'ERR_SOCKET_CLOSED');
    },
  ],
];

const FLOW: readonly Row[] = [
  [
    'a reader that stops makes write return false, and drain comes when it goes on',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      const chunk = Buffer.alloc(65_536, 'y');
      let sent = 0;
      let stopped = false;
      for (let i = 0; i < 2000 && !stopped; i++) {
        stopped = !client.write(chunk);
        sent += chunk.length;
        // As much as the path holds goes while the reader sleeps.
        if (stopped) {
          const drained = await Promise.race([once(client, 'drain').then(() => true), turns(200)]);
          if (drained === true) stopped = false;
        }
      }
      assert.equal(stopped, true, 'nobody reads, and it takes everything');
      const drained = once(client, 'drain');
      let received = 0;
      taken.on('data', (data: Buffer) => {
        received += data.length;
      });
      await drained;
      client.end();
      await once(taken, 'end');
      assert.equal(received, sent);
      await over(all);
    },
  ],
  [
    'pauseOnConnect: nothing is read before resume',
    async (world) => {
      const all = await pair(world, { server: { pauseOnConnect: true } });
      const { client, taken } = all;
      client.end('waiting');
      const got: string[] = [];
      taken.on('data', (data) => got.push(String(data)));
      await turns(50);
      assert.deepEqual(got, []);
      taken.resume();
      await once(taken, 'end');
      assert.equal(got.join(''), 'waiting');
      await over(all);
    },
  ],
  [
    'bytesWritten counts bytes, whatever they were written as, and bytesRead what came',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      client.write('ä€');
      client.write('00ff', 'hex');
      client.write(new Uint8Array(3));
      client.cork();
      client.write('a');
      client.write('b');
      client.uncork();
      client.end();
      assert.equal(client.bytesWritten, 12);
      assert.equal((await rest(taken)).length > 0, true);
      assert.equal(client.bytesWritten, 12);
      assert.equal(taken.bytesRead, 12);
      await over(all);
    },
  ],
  [
    'write callbacks are called in order, and bufferSize is what waits',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      taken.resume();
      assert.equal(client.bufferSize, 0);
      const order: number[] = [];
      await Promise.all(
        [1, 2, 3].map(
          (i) => new Promise<void>((resolve) => client.write('x', () => resolve(void order.push(i)))),
        ),
      );
      assert.deepEqual(order, [1, 2, 3]);
      await over(all);
    },
  ],
  [
    'setEncoding gives text, with characters whole that arrive in parts',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      taken.setEncoding('utf8');
      const text = '€'.repeat(50_000);
      const bytes = Buffer.from(text);
      client.write(bytes.subarray(0, 70_001));
      client.end(bytes.subarray(70_001));
      assert.equal(await rest(taken), text);
      await over(all);
    },
  ],
];

const SETTINGS: readonly Row[] = [
  [
    'setTimeout: timeout once for a silence, which ends nothing; what comes begins it again',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      let count = 0;
      assert.equal(client.setTimeout(20), client);
      assert.equal(client.timeout, 20);
      client.on('timeout', () => count++);
      await once(client, 'timeout');
      assert.equal(client.destroyed, false);
      await pause(60);
      assert.equal(count, 1);
      client.resume();
      taken.write('news');
      await once(client, 'timeout');
      assert.equal(count, 2);
      client.write('and back');
      await once(client, 'timeout');
      assert.equal(count, 3);
      await over(all);
    },
  ],
  [
    'setTimeout with a listener calls it once; 0 takes the timeout and the listener back',
    async (world) => {
      const all = await pair(world);
      const { client } = all;
      await new Promise<void>((resolve) => client.setTimeout(10, resolve));
      assert.equal(client.listenerCount('timeout'), 0);
      const listener = () => assert.fail('it was taken back');
      client.setTimeout(10, listener);
      client.setTimeout(0, listener);
      assert.equal(client.listenerCount('timeout'), 0);
      await pause(40);
      await over(all);
    },
  ],
  [
    'the option timeout is that of setTimeout',
    async (world) => {
      const server = await listening(world);
      const client = connecting(world, server, { timeout: 30 });
      assert.equal(client.timeout, 30);
      await once(client, 'timeout');
      client.destroy();
      const none = connecting(world, server, { timeout: null as unknown as number });
      await once(none, 'connect');
      none.destroy();
      await closing(server);
    },
  ],
  [
    'setTimeout takes a time that is longer than a timer takes as the longest',
    async ({ net }) => {
      const socket = new net.Socket();
      socket.setTimeout(2 ** 31, () => assert.fail('it is not over'));
      await pause(30);
      socket.destroy();
    },
  ],
  [
    'setTimeout refuses what is no number, and what is negative or no function',
    async ({ net }) => {
      const socket = new net.Socket();
      assert.throws(() => socket.setTimeout('10' as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' });
      assert.throws(() => socket.setTimeout(-1), { code: 'ERR_OUT_OF_RANGE' });
      assert.throws(() => socket.setTimeout(Number.POSITIVE_INFINITY), { code: 'ERR_OUT_OF_RANGE' });
      assert.throws(() => socket.setTimeout(10, 'x' as unknown as () => void), {
        code: 'ERR_INVALID_ARG_TYPE',
      });
      socket.destroy();
    },
  ],
  [
    'setKeepAlive, setNoDelay, ref and unref give the socket back, also before it is connected',
    async (world) => {
      const server = await listening(world);
      const client = connecting(world, server);
      for (let i = 0; i < 2; i++) {
        assert.equal(client.setKeepAlive(true, 1000), client);
        assert.equal(client.setNoDelay(true), client);
        assert.equal(client.unref(), client);
        assert.equal(client.ref(), client);
        if (i === 0) await once(client, 'connect');
      }
      client.destroy();
      await closing(server);
    },
  ],
];

testRows([...CONNECTING, ...ENDING, ...FLOW, ...SETTINGS]);

/** What the program throws next where nobody catches it. */
function uncaught(): Promise<unknown> {
  return new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback((error) => {
      process.setUncaughtExceptionCaptureCallback(null);
      resolve(error);
    });
  });
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));
