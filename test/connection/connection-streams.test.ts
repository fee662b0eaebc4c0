/** Streams of real connections: both ends are programs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ConnectOptions } from '../../src/connection/connect-options.js';
import type { Connection } from '../../src/connection/connection.js';
import type { ConnectionStream } from '../../src/connection/connection-stream.js';
import type { ListenOptions } from '../../src/connection/listen-options.js';
import type { Server } from '../../src/connection/server.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { Random } from '../../testkit/random.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly client: Connection;
  /** The server's end. */
  readonly peer: Connection;
}

/** A client and a server of which `onStream` gets the streams that the client opens. */
async function start(
  onStream: ((stream: ConnectionStream, connection: Connection) => void) | null,
  serverOptions: Partial<ListenOptions> = {},
  clientOptions: Partial<ConnectOptions> = {},
): Promise<Rig> {
  const connected: Connection[] = [];
  const server = await startServer(async (connection) => {
    connected.push(connection);
    if (onStream !== null) {
      connection.on('stream', (stream) => {
        // A test that expects an error awaits it; those at the end of the connection are no news.
        stream.on('error', () => {});
        onStream(stream, connection);
      });
    }
    for await (const { data } of connection) await connection.send(data);
  }, serverOptions);
  const client = await connectTo(server, clientOptions);
  while (connected.length === 0) await turn();
  const [peer] = connected;
  assert.ok(peer !== undefined);
  return {
    server,
    client,
    peer,
    async [Symbol.asyncDispose]() {
      await client.close();
      await serverIsEmpty(server);
      await server.close();
    },
  };
}

const echo = (stream: ConnectionStream): void => void pipeline(stream, stream).catch(() => {});

/** Not by `for await`, which destroys what it has read to the end. */
async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}

const failureOf = async (stream: ConnectionStream): Promise<RdmaError> => {
  const [error] = (await once(stream, 'error')) as [RdmaError];
  return error;
};

/** Pseudo-random bytes in chunks of different sizes, and the hash of all of them when they are read. */
function body(bytes: number, seed: number): { source: Readable; digest: () => string } {
  const random = new Random(seed);
  const hash = createHash('sha256');
  const block = Buffer.from(Array.from({ length: 65_536 + 97 }, () => random.int(0, 255)));
  function* chunks(): Generator<Buffer> {
    for (let left = bytes; left > 0; ) {
      const from = random.int(0, 96);
      const chunk = block.subarray(
        from,
        from + Math.min(left, random.pick([1, 100, 4096, 4097, 30_000, 65_536])),
      );
      hash.update(chunk);
      left -= chunk.length;
      yield Buffer.from(chunk);
    }
  }
  return { source: Readable.from(chunks(), { objectMode: false }), digest: () => hash.digest('hex') };
}

async function hashOf(stream: Readable): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  await once(stream, 'end');
  return { digest: hash.digest('hex'), bytes };
}

test('What a client writes to a stream comes back from a server that pipes it to itself, and both ends end in order', async () => {
  await using rig = await start(echo);
  const stream = rig.client.openStream();
  assert.equal(stream.id, 1);
  const closed = once(stream, 'close');
  stream.write('over ');
  stream.end('and out');
  assert.equal(await textOf(stream), 'over and out');
  await closed;
  assert.equal(stream.errored, null);
});

test('A server opens streams too, and both sides may open many at once', async () => {
  await using rig = await start(echo);
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

test('Each direction ends by itself: a request may end before its answer begins, and the other way round', async () => {
  await using rig = await start((stream) => {
    if (stream.id === -1) void textOf(stream).then((text) => stream.end(`answer to ${text}`));
    else {
      stream.end('first the answer');
      void textOf(stream).then((text) => rig.peer.send(text));
    }
  });
  const one = rig.client.openStream();
  one.end('one');
  assert.equal(await textOf(one), 'answer to one');
  const other = rig.client.openStream();
  other.write('then ');
  assert.equal(await textOf(other), 'first the answer');
  other.end('the request');
  const message = await rig.client.receive();
  assert.equal(Buffer.from(message?.data ?? []).toString(), 'then the request');
});

test('allowHalfOpen: false ends this direction with that of the peer', async () => {
  await using rig = await start((stream) => stream.end());
  const stream = rig.client.openStream({ allowHalfOpen: false });
  stream.write('x');
  stream.resume();
  await once(stream, 'close');
  assert.equal(stream.errored, null);
});

test('destroy is a reset: the peer learns that it was one, and whether an error was the reason', async () => {
  const failures: Promise<RdmaError>[] = [];
  await using rig = await start((stream) => {
    stream.resume();
    failures.push(failureOf(stream));
  });
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
});

test('What a peer has ended before it gave the stream up is read to its end, and then the other direction fails', async () => {
  let given: Promise<unknown> | undefined;
  await using rig = await start((stream) => {
    given = new Promise((resolve) => stream.on('close', resolve));
    stream.end('enough of it', () => stream.destroy(new Error('reads no more')));
  });
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
});

test('Streams that were ended and given up before they were read make room for others when they are read', {
  timeout: 10_000,
}, async () => {
  const taken: ConnectionStream[] = [];
  const failures: Promise<RdmaError>[] = [];
  await using rig = await start(
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

test('A chunk is the program’s own again as soon as its write is done', async () => {
  await using rig = await start(echo);
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

test('Chunks keep their order whatever their lengths are, also those that wait for shorter ones to arrive', async () => {
  await using rig = await start(echo);
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
});

test('A reader that throws hears the rest all the same', { timeout: 10_000 }, async () => {
  await using rig = await start(echo);
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

test('A stream for which nobody listens is reset as refused', async () => {
  await using rig = await start(null);
  const stream = rig.client.openStream();
  stream.write('x');
  const { code, reset } = await failureOf(stream);
  assert.deepEqual([code, reset], ['ERR_RDMA_STREAM_RESET', 'refused']);
});

test('A reader that stops stops its writer, but neither its neighbours nor messages', async () => {
  const stalled: ConnectionStream[] = [];
  await using rig = await start((stream) => {
    if (stream.id === -1) stalled.push(stream);
    else echo(stream);
  });
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

test('A stream beyond those that the peer takes waits, with what is written to it, until one of them is over', async () => {
  const open: ConnectionStream[] = [];
  await using rig = await start((stream) => open.push(stream), { streams: { open: 2 } });
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
});

test('A peer that takes no streams says so: openStream throws, and the connection goes on', async () => {
  await using rig = await start(echo, { streams: { open: 0 } });
  assert.throws(() => rig.client.openStream(), { code: 'ERR_RDMA_LIMIT' });
  await rig.client.send('still here');
  assert.ok(await rig.client.receive());
});

test('A signal ends a stream with an AbortError, and the peer learns of it', async () => {
  const failures: Promise<RdmaError>[] = [];
  await using rig = await start((stream) => {
    failures.push(failureOf(stream));
  });
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

test('What was written and ended before the connection is closed arrives whole, also what Node still held', async () => {
  const read: Promise<{ digest: string; bytes: number }>[] = [];
  await using rig = await start((stream) => read.push(hashOf(stream)), { streams: { windowBytes: 20_000 } });
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
});

test('When the peer has closed, what had arrived is read to its end; a direction that had none ends with an error', async () => {
  const streams: ConnectionStream[] = [];
  await using rig = await start((stream) => {
    stream.on('error', () => {});
    streams.push(stream);
  });
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
});

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

test('A failure of the connection ends its streams with its own error, and so does openStream afterwards', async () => {
  const failures: Promise<RdmaError>[] = [];
  await using rig = await start((stream) => failures.push(failureOf(stream)));
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
});

test('A handler of a stream that throws does not disturb the connection', async () => {
  const thrown: unknown[] = [];
  const onThrown = (error: unknown): void => void thrown.push(error);
  await using rig = await start((stream) => {
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
  await using rig = await start(echo);
  assert.throws(() => rig.client.openStream({ highWaterMark: -1 }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => rig.client.openStream({ signal: 1 as never }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => rig.client.openStream({ what: 1 } as never), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
});

for (const encryption of [undefined, 'aes-256-gcm'] as const) {
  const how = encryption === undefined ? 'in the clear' : 'sealed';
  test(`A large body goes through a stream and back ${how}, in little memory, its hash equal`, async () => {
    await using rig = await start(echo, encryption === undefined ? {} : { encryption });
    assert.equal(rig.client.isEncrypted, encryption !== undefined);
    const seed = 20;
    const bytes = 24 * 1024 * 1024;
    const { source, digest } = body(bytes, seed);
    const stream = rig.client.openStream();
    const [received] = await Promise.all([hashOf(stream), pipeline(source, stream)]);
    assert.deepEqual(received, { digest: digest(), bytes });
  });
}
