/** How sockets end, in node:net and here: end, destroy and reset. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pattern } from '../../testkit/craft-packet.js';
import { within } from '../../testkit/within.js';
import {
  closed,
  closing,
  connecting,
  failure,
  over,
  pair,
  type Row,
  rest,
  SURE_MILLIS,
  testRows,
  WORLDS,
} from './world.js';

/** Longer than a socket that was destroyed waits for the end of its peer. */
const LATE_MILLIS = 5500;

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
      taken.destroy();
      // Here the first is answered when nothing of it is sent any more.
      while (answers.length < 2) await turn();
      assert.deepEqual(new Set(answers), new Set([undefined, 'ERR_STREAM_DESTROYED']));
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
      assert.equal((await within(failing, SURE_MILLIS)).code, 'ECONNRESET');
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
    'destroySoon destroys a socket though the program took all listeners off',
    async (world) => {
      const { client, taken, server } = await pair(world, { server: { allowHalfOpen: true } });
      taken.resume();
      client.write('last words');
      client.destroySoon();
      client.removeAllListeners();
      await once(client, 'close');
      taken.destroy();
      await closing(server);
    },
    { 'node:net': 'it stays open' },
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

testRows('ending', ENDING);

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

for (const world of WORLDS.filter(({ isOurs }) => isOurs)) {
  test(`${world.name}: a chunk that a destroyed socket still sends is the program’s again when its write is answered`, async () => {
    const { client, taken, server } = await pair(world);
    const chunk = Buffer.from(pattern(3 * 1024 * 1024));
    const written = createHash('sha256').update(chunk).digest('hex');
    const answered = new Promise<void>((resolve) => {
      client.write(chunk, () => {
        chunk.fill(0xee);
        resolve();
      });
    });
    client.destroy();
    await turn();
    const read = createHash('sha256');
    for await (const bytes of taken) read.update(bytes as Buffer);
    assert.equal(read.digest('hex'), written);
    await within(answered, SURE_MILLIS);
    await closing(server);
  });
}
