/** Streams of real connections: both ends are programs. How they end is in stream-endings.test.ts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import { testLives } from '../../testkit/lives.js';
import { body, echo, hashOf, startStreams, textOf } from '../../testkit/stream-rig.js';

testLives(
  'What a client writes to a stream comes back from a server that pipes it to itself, and both ends end in order',
  async (life) => {
    await using rig = await startStreams(echo, life, life);
    const stream = rig.client.openStream();
    assert.equal(stream.id, 1);
    const closed = once(stream, 'close');
    stream.write('over ');
    stream.end('and out');
    assert.equal(await textOf(stream), 'over and out');
    await closed;
    assert.equal(stream.errored, null);
  },
);

testLives('A server opens streams too, and both sides may open many at once', async (life) => {
  await using rig = await startStreams(echo, life, life);
  rig.client.on('stream', (stream) => {
    assert.ok(stream.id !== null && stream.id < 0);
    echo(stream);
  });
  const texts = Array.from({ length: 60 }, (_, i) => `stream ${i} `.repeat(i * 40));
  const answers = texts.map((text, i) => {
    const stream = (i % 2 === 0 ? rig.client : rig.peer).openStream();
    stream.end(text);
    return textOf(stream);
  });
  assert.deepEqual(await Promise.all(answers), texts);
});

testLives('A chunk is the program’s own again as soon as its write is done', async (life) => {
  await using rig = await startStreams(echo, life, life);
  const stream = rig.client.openStream();
  const read = hashOf(stream);
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(150_000);
  for (let i = 0; i < 100; i++) {
    const part = chunk.subarray(0, [10, 5000, 65_536, 150_000][i % 4]);
    part.fill(i);
    hash.update(part);
    await new Promise<void>((resolve, reject) => {
      stream.write(part, (error) => (error ? reject(error) : resolve()));
    });
  }
  stream.end();
  assert.equal((await read).digest, hash.digest('hex'));
});

testLives(
  'Chunks keep their order whatever their lengths are, also those that wait for shorter ones to arrive',
  async (life) => {
    await using rig = await startStreams(echo, life, life);
    const stream = rig.client.openStream();
    const read = hashOf(stream);
    const hash = createHash('sha256');
    stream.cork();
    for (let i = 0; i < 40; i++) {
      const chunk = Buffer.alloc(i % 10 === 9 ? 200_000 : 65_536, i);
      hash.update(chunk);
      stream.write(chunk);
    }
    stream.uncork();
    stream.end();
    assert.equal((await read).digest, hash.digest('hex'));
  },
);

test('A reader that throws hears the rest all the same', { timeout: 10_000 }, async () => {
  await using rig = await startStreams(echo);
  const thrown: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => void thrown.push(error));
  const stream = rig.client.openStream();
  const text: string[] = [];
  stream.on('data', (data) => {
    text.push(String(data));
    if (text.length === 1) throw new Error('a bug of the program');
  });
  const ended = once(stream, 'end');
  stream.write('one ');
  while (text.length === 0) await turn();
  stream.end('two');
  await ended;
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(text.join(''), 'one two');
  assert.equal(thrown.length, 1);
});

testLives('A reader that stops stops its writer, but neither its neighbours nor messages', async (life) => {
  const stalled: ConnectionStream[] = [];
  await using rig = await startStreams(
    (stream) => {
      if (stream.id === -1) stalled.push(stream);
      else echo(stream);
    },
    life,
    life,
  );
  const slow = rig.client.openStream();
  for (let i = 0; i < 32; i++) slow.write(Buffer.alloc(64 * 1024, i));
  let hasDrained = false;
  const drained = once(slow, 'drain').then(() => {
    hasDrained = true;
  });
  const neighbour = rig.client.openStream();
  neighbour.end('passes by');
  assert.equal(await textOf(neighbour), 'passes by');
  for (let i = 0; i < 50; i++) {
    await rig.client.send(Buffer.alloc(100_000, i));
    assert.equal((await rig.client.receive())?.data.length, 100_000);
  }
  assert.equal(hasDrained, false);
  const [reader] = stalled;
  assert.ok(reader !== undefined);
  assert.ok(reader.readableLength <= 64 * 1024, 'a reader that never began has taken little');
  reader.resume();
  await drained;
  slow.end();
  await once(reader, 'end');
  const closed = once(slow, 'close');
  reader.end();
  slow.resume();
  await closed;
});

testLives(
  'A stream beyond those that the peer takes waits, with what is written to it, until one of them is over',
  async (life) => {
    const open: ConnectionStream[] = [];
    await using rig = await startStreams(
      (stream) => open.push(stream),
      { ...life, streams: { open: 2 } },
      life,
    );
    const streams = Array.from({ length: 4 }, () => rig.client.openStream());
    for (const [i, stream] of streams.entries()) stream.end(`stream ${i}`);
    assert.deepEqual(
      streams.map(({ id }) => id),
      [1, 2, null, null],
    );
    streams[2]?.destroy();
    for (let seen = 0; seen < 3; seen++) {
      while (open[seen] === undefined) await turn();
      const stream = open[seen] as ConnectionStream;
      assert.equal(await textOf(stream), `stream ${seen === 2 ? 3 : seen}`);
      stream.end();
    }
    assert.equal(streams[3]?.id, 3, 'the one that was given up has used no number');
    for (const stream of streams) stream.resume();
  },
);

testLives(
  'A peer that takes no streams says so: openStream throws, and the connection goes on',
  async (life) => {
    await using rig = await startStreams(echo, { ...life, streams: { open: 0 } }, life);
    assert.throws(() => rig.client.openStream(), { code: 'ERR_RDMA_LIMIT' });
    await rig.client.send('still here');
    assert.ok(await rig.client.receive());
  },
);

test('A handler of a stream that throws does not disturb the connection', async () => {
  const thrown: unknown[] = [];
  const onThrown = (error: unknown): void => void thrown.push(error);
  await using rig = await startStreams((stream) => {
    if (stream.id === -1) throw new Error('a bug of the program');
    echo(stream);
  });
  process.setUncaughtExceptionCaptureCallback(onThrown);
  const one = rig.client.openStream();
  const other = rig.client.openStream();
  one.on('error', () => {});
  one.write('x');
  other.end('goes on');
  assert.equal(await textOf(other), 'goes on');
  // Streams take turns: the other one may have come first.
  while (thrown.length === 0) await turn();
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(String(thrown[0]), 'Error: a bug of the program');
  one.destroy();
});

test('Wrong options of openStream are refused with a sentence', async () => {
  await using rig = await startStreams(echo);
  assert.throws(() => rig.client.openStream({ highWaterMark: -1 }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => rig.client.openStream({ signal: 1 as never }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => rig.client.openStream({ what: 1 } as never), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
});

for (const encryption of [undefined, 'aes-256-gcm'] as const) {
  const how = encryption === undefined ? 'in the clear' : 'sealed';
  test(`A large body goes through a stream and back ${how}, in little memory, its hash equal`, async () => {
    await using rig = await startStreams(echo, encryption === undefined ? {} : { encryption });
    assert.equal(rig.client.isEncrypted, encryption !== undefined);
    const seed = 20;
    const bytes = 24 * 1024 * 1024;
    const { source, digest } = body(bytes, seed);
    const stream = rig.client.openStream();
    const [received] = await Promise.all([hashOf(stream), pipeline(source, stream)]);
    assert.deepEqual(received, { digest: digest(), bytes });
  });
}
