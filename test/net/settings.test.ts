/** What of a socket can be set, in node:net and here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closing, connecting, listening, over, pair, type Row, testRows } from './world.js';

const SETTINGS: readonly Row[] = [
  [
    'setTimeout: timeout once for a silence, which ends nothing; what comes begins it again',
    async (world) => {
      const all = await pair(world);
      const { client, taken } = all;
      let count = 0;
      assert.equal(client.timeout, undefined);
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

testRows('settings', SETTINGS);

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));
