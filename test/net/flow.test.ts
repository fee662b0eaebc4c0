/** How bytes flow through sockets, in node:net and here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { closing, connecting, listening, over, pair, type Row, rest, testRows } from './world.js';

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
  [
    'onread: what comes is copied into one piece of memory and told by a call, and no data is',
    async (world) => {
      const sent = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
      const server = await listening(world, (socket) => socket.end(sent));
      const memory = Buffer.alloc(1000);
      const got: Buffer[] = [];
      const client = connecting(world, server, {
        onread: {
          buffer: memory,
          callback(bytes, filled) {
            assert.equal(this, client);
            assert.equal(filled, memory);
            got.push(Buffer.from(filled.subarray(0, bytes)));
            return true;
          },
        },
      });
      client.on('data', () => assert.fail('data was told'));
      await once(client, 'end');
      assert.deepEqual(Buffer.concat(got), sent);
      assert.equal(client.bytesRead, sent.length);
      await closing(server);
    },
  ],
  [
    'onread: false pauses until resume, pause and resume as well, and a function gives the memory of each piece',
    async (world) => {
      const server = await listening(world, (socket) => socket.end('a'.repeat(50)));
      const pieces: Uint8Array[] = [];
      let got = '';
      let allowed = 2;
      const client = connecting(world, server, {
        onread: {
          buffer: () => {
            const memory = new Uint8Array(10);
            pieces.push(memory);
            return memory;
          },
          callback(bytes, filled) {
            assert.equal(filled, pieces.at(-1));
            got += Buffer.from(filled.subarray(0, bytes)).toString();
            return --allowed !== 0;
          },
        },
      });
      let hasEnded = false;
      client.on('end', () => {
        hasEnded = true;
      });
      await until(() => got.length >= 20);
      await turns(20);
      assert.deepEqual([got.length, hasEnded], [20, false]);
      allowed = 1;
      client.resume();
      await until(() => got.length >= 30);
      client.pause();
      await turns(20);
      assert.equal(got.length, 30);
      client.resume();
      await until(() => hasEnded);
      assert.equal(got, 'a'.repeat(50));
      await closing(server);
    },
  ],
];

testRows('flow', FLOW);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}
