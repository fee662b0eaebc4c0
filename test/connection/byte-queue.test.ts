import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteQueue } from '../../src/connection/byte-queue.js';
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
