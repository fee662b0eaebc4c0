import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ByteQueue } from '../../src/connection/streams/byte-queue.js';
import { Random } from '../../testkit/random.js';

test('Bytes come out as they went in, whatever the pieces were', () => {
  const seed = 7;
  const random = new Random(seed);
  const queue = new ByteQueue();
  const [put, got]: [number[], number[]] = [[], []];
  for (let i = 0; i < 2000; i++) {
    const bytes = Uint8Array.from({ length: random.pick([0, 1, 3, 100, 4095, 4096, 20_000]) }, () =>
      random.int(0, 255),
    );
    const given = bytes.slice();
    put.push(...bytes);
    if (random.chance(0.5)) {
      queue.copy(given);
      given.fill(0);
    } else queue.push(given);
    assert.equal(queue.length, put.length - got.length, `seed ${seed}`);
    if (random.chance(0.3)) got.push(...(queue.shift() ?? []));
  }
  for (let bytes = queue.shift(); bytes !== undefined; bytes = queue.shift()) got.push(...bytes);
  assert.deepEqual(got, put, `seed ${seed}`);
  assert.equal(queue.length, 0);
});

test('Small pieces share memory, one that is alone has its own length; large ones that follow each other are read as one', () => {
  const queue = new ByteQueue();
  for (let i = 0; i < 5000; i++) queue.copy(Uint8Array.of(i));
  assert.equal(queue.shift()?.length, 1);
  assert.equal(queue.shift()?.length, 4096);
  queue.clear();
  for (let i = 0; i < 5; i++) queue.copy(new Uint8Array(16_000).fill(i));
  const [first, second] = [queue.shift(), queue.shift()];
  assert.deepEqual([first?.length, second?.length], [64_000, 16_000]);
  assert.deepEqual([first?.[15_999], first?.[16_000], second?.[0]], [0, 1, 4]);
});

test('Large pieces share memory also when each is read before the next one comes', () => {
  const queue = new ByteQueue();
  const blocks = new Set<ArrayBufferLike>();
  for (let i = 0; i < 64; i++) {
    queue.copy(new Uint8Array(4096));
    const bytes = queue.shift();
    assert.ok(bytes !== undefined);
    blocks.add(bytes.buffer);
  }
  assert.equal(blocks.size, 4);
});

test('A queue that has been emptied keeps no memory, however many there are', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = async (): Promise<number> => {
    // What was looked at weakly stays until the tick is over.
    for (let i = 0; i < 3; i++) {
      await turn();
      collect();
    }
    return process.memoryUsage().arrayBuffers;
  };
  const before = await used();
  const queues = Array.from({ length: 256 }, () => {
    const queue = new ByteQueue();
    queue.copy(new Uint8Array(5000));
    queue.shift();
    return queue;
  });
  const grown = (await used()) - before;
  assert.ok(grown < 1024 * 1024, `${grown} bytes in ${queues.length} queues`);
});

test('Memory that reads share cannot be transferred away', () => {
  const queue = new ByteQueue();
  queue.copy(new Uint8Array(5000));
  const bytes = queue.shift();
  assert.ok(bytes !== undefined);
  const { port1, port2 } = new MessageChannel();
  try {
    // Some versions of Node refuse, others copy.
    port1.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
  } catch {}
  assert.equal(bytes.length, 5000);
  for (const port of [port1, port2]) port.close();
});
