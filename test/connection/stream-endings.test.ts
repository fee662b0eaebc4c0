/** How streams of real connections end: each direction by itself, by a reset, by a signal, and with the connection under them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { testLives } from '../../testkit/lives.js';
import { connectTo, startServer } from '../../testkit/session-pair.js';
import { failureOf, hashOf, startStreams, textOf } from '../../testkit/stream-rig.js';

testLives(
  'Each direction ends by itself: a request may end before its answer begins, and the other way round',
  async (life) => {
    await using rig = await startStreams(
      (stream) => {
        if (stream.id === -1) void textOf(stream).then((text) => stream.end(`answer to ${text}`));
        else {
          stream.end('first the answer');
          void textOf(stream).then((text) => rig.peer.send(text));
        }
      },
      life,
      life,
    );
    const one = rig.client.openStream();
    one.end('one');
    assert.equal(await textOf(one), 'answer to one');
    const other = rig.client.openStream();
    other.write('then ');
    assert.equal(await textOf(other), 'first the answer');
    other.end('the request');
    const message = await rig.client.receive();
    assert.equal(Buffer.from(message?.data ?? []).toString(), 'then the request');
  },
);

testLives('allowHalfOpen: false ends this direction with that of the peer', async (life) => {
  await using rig = await startStreams((stream) => stream.end(), life, life);
  const stream = rig.client.openStream({ allowHalfOpen: false });
  stream.write('x');
  stream.resume();
  await once(stream, 'close');
  assert.equal(stream.errored, null);
});

testLives(
  'destroy is a reset: the peer learns that it was one, and whether an error was the reason',
  async (life) => {
    const failures: Promise<RdmaError>[] = [];
    await using rig = await startStreams(
      (stream) => {
        stream.resume();
        failures.push(failureOf(stream));
      },
      life,
      life,
    );
    const reasons = [undefined, new Error('no more')];
    for (const reason of reasons) {
      const stream = rig.client.openStream();
      stream.on('error', () => {});
      stream.write('x'.repeat(10_000));
      while (failures.length <= reasons.indexOf(reason)) await turn();
      stream.destroy(reason);
    }
    const errors = await Promise.all(failures);
    assert.deepEqual(
      errors.map(({ code, reset, fault }) => [code, reset, fault]),
      [
        ['ERR_RDMA_STREAM_RESET', 'cancelled', 'peer'],
        ['ERR_RDMA_STREAM_RESET', 'failed', 'peer'],
      ],
    );
  },
);

testLives(
  'What a peer has ended before it gave the stream up is read to its end, and then the other direction fails',
  async (life) => {
    let given: Promise<unknown> | undefined;
    await using rig = await startStreams(
      (stream) => {
        given = new Promise((resolve) => stream.on('close', resolve));
        stream.end('enough of it', () => stream.destroy(new Error('reads no more')));
      },
      life,
      life,
    );
    const stream = rig.client.openStream();
    const failed = failureOf(stream);
    let text = '';
    stream.on('data', (bytes) => {
      text += bytes;
    });
    stream.pause();
    stream.write(Buffer.alloc(3_000_000));
    while (given === undefined) await turn();
    await given;
    // Behind the reset.
    await rig.client.send('x');
    await rig.client.receive();
    stream.resume();
    assert.equal((await failed).reset, 'failed');
    assert.equal(text, 'enough of it');
  },
);

test('Streams that were ended and given up before they were read make room for others when they are read', {
  timeout: 10_000,
}, async () => {
  const taken: ConnectionStream[] = [];
  const failures: Promise<RdmaError>[] = [];
  await using rig = await startStreams(
    (stream) => {
      taken.push(stream);
      failures.push(failureOf(stream));
    },
    { streams: { open: 2 } },
  );
  for (let i = 0; i < 5; i++) {
    const stream = rig.client.openStream();
    stream.end('x'.repeat(100_000), () => stream.destroy());
    while (taken.length <= i) await turn();
    await once(stream, 'close');
    // Behind the reset.
    await rig.client.send('x');
    await rig.client.receive();
    const text = await textOf(taken[i] as ConnectionStream);
    assert.equal(text.length, 100_000);
    assert.equal((await failures[i])?.reset, 'cancelled');
  }
});

testLives('A stream for which nobody listens is reset as refused', async (life) => {
  await using rig = await startStreams(null, life, life);
  const stream = rig.client.openStream();
  stream.write('x');
  const { code, reset } = await failureOf(stream);
  assert.deepEqual([code, reset], ['ERR_RDMA_STREAM_RESET', 'refused']);
});

testLives('A signal ends a stream with an AbortError, and the peer learns of it', async (life) => {
  const failures: Promise<RdmaError>[] = [];
  await using rig = await startStreams(
    (stream) => {
      failures.push(failureOf(stream));
    },
    life,
    life,
  );
  const controller = new AbortController();
  const stream = rig.client.openStream({ signal: controller.signal });
  const failed = once(stream, 'error') as Promise<[Error]>;
  stream.write('x');
  while (failures.length === 0) await turn();
  controller.abort();
  assert.equal((await failed)[0].name, 'AbortError');
  assert.equal((await failures[0])?.reset, 'failed');
  const late = rig.client.openStream({ signal: controller.signal });
  const [error] = (await once(late, 'error')) as [Error];
  assert.equal(error.name, 'AbortError');
});

testLives(
  'What was written and ended before the connection is closed arrives whole, also what Node still held',
  async (life) => {
    const read: Promise<{ digest: string; bytes: number }>[] = [];
    await using rig = await startStreams(
      (stream) => read.push(hashOf(stream)),
      { ...life, streams: { windowBytes: 20_000 } },
      life,
    );
    // Longer than what is copied: Node gives the next one when the one before has arrived.
    const chunks = Array.from({ length: 12 }, (_, i) => Buffer.alloc(i % 2 === 0 ? 100_000 : 20_000, i));
    const stream = rig.client.openStream();
    stream.on('error', () => {});
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    const small = rig.client.openStream();
    small.on('error', () => {});
    small.end('small');
    await rig.client.close();
    assert.equal(read.length, 2);
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    assert.deepEqual(await read[0], { digest: hash.digest('hex'), bytes: 720_000 });
    assert.equal((await read[1])?.bytes, 5);
  },
);

testLives(
  'When the peer has closed, what had arrived is read to its end; a direction that had none ends with an error',
  async (life) => {
    const streams: ConnectionStream[] = [];
    await using rig = await startStreams(
      (stream) => {
        stream.on('error', () => {});
        streams.push(stream);
      },
      life,
      life,
    );
    const whole = rig.client.openStream();
    whole.end('whole');
    const half = rig.client.openStream();
    half.write('half');
    for (const stream of [whole, half]) stream.on('error', () => {});
    while (streams.length < 2) await turn();
    await rig.client.close();
    await rig.peer.closed;
    const [first, second] = streams as [ConnectionStream, ConnectionStream];
    let text = '';
    first.on('data', (data) => {
      text += data;
    });
    await once(first, 'end');
    assert.equal(text, 'whole');
    text = '';
    await assert.rejects(
      async () => {
        for await (const data of second) text += data;
      },
      { code: 'ERR_RDMA_CLOSED' },
    );
    assert.equal(text, 'half');
  },
);

test('When the server closes, a handler that waits by receiving hears of it at once, and its streams come to their end', async () => {
  const connections: Connection[] = [];
  const streams: ConnectionStream[] = [];
  let ended = 0;
  const server = await startServer(async (connection) => {
    connections.push(connection);
    connection.on('stream', (stream) => void streams.push(stream));
    for await (const message of connection) assert.fail(`${message.data.length} bytes that nobody sent`);
    ended++;
    const [stream] = streams;
    assert.ok(stream !== undefined);
    stream.end(`last words to ${await textOf(stream)}`);
    await once(stream, 'close');
  });
  const client = await connectTo(server);
  const stream = client.openStream();
  stream.write('a request ');
  while (streams.length === 0) await turn();
  const closed = server.close();
  while (ended === 0) await turn();
  const refused = client.openStream();
  assert.equal((await failureOf(refused)).reset, 'refused');
  stream.end('in two parts');
  assert.equal(await textOf(stream), 'last words to a request in two parts');
  await closed;
});

testLives(
  'A failure of the connection ends its streams with its own error, and so does openStream afterwards',
  async (life) => {
    const failures: Promise<RdmaError>[] = [];
    await using rig = await startStreams((stream) => failures.push(failureOf(stream)), life, life);
    const stream = rig.client.openStream();
    const failed = failureOf(stream);
    const written = new Promise<unknown>((resolve) => stream.write(Buffer.alloc(10_000_000), resolve));
    while (failures.length === 0) await turn();
    const reason = new RdmaError('ERR_RDMA_ABORTED', 'the program has had enough');
    rig.client.abort(reason);
    assert.equal(await failed, reason);
    assert.equal(await written, reason);
    await failures[0];
    assert.throws(() => rig.client.openStream(), { code: 'ERR_RDMA_CLOSED' });
  },
);
