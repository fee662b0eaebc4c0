/** Channels of two soft devices of this host: bytes both ways, ends, and what programs learn of them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { CmConnection } from '../../../src/cm/cm-connection.js';
import { connect } from '../../../src/cm/connect.js';
import { ByteStream } from '../../../src/connection/program/byte-stream.js';
import type { Endpoint } from '../../../src/endpoint/endpoint.js';
import { FaultCounts } from '../../../src/net/rsocket/fault-counts.js';
import type { RsocketChannel } from '../../../src/net/rsocket/rsocket-channel.js';
import { acceptRsocket, connectRsocket } from '../../../src/net/rsocket/rsocket-meeting.js';
import { RsocketMemory } from '../../../src/net/rsocket/rsocket-memory.js';
import type { RsocketOptions } from '../../../src/net/rsocket/rsocket-options.js';
import { writePrivateData } from '../../../src/net/rsocket/wire/private-data.js';
import type { RKey } from '../../../src/verbs/brands.js';
import type { RdmaError } from '../../../src/verbs/errors.js';
import { WcOpcode } from '../../../src/verbs/work-completion.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { CmPair, SERVER_HOST } from '../../../testkit/cm-pair.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { FragileDevice } from '../../../testkit/fragile-device.js';
import { within } from '../../../testkit/within.js';

/** librdmacm's queue pairs ask for an acknowledgement again after 2.3 s. */
const REPEATED_MILLIS = 2500;
const DISCONNECT = 0xe000_0000;
const SHUTDOWN = 0xe000_0002;

interface Met {
  readonly client: RsocketChannel;
  readonly server: RsocketChannel;
}

async function meet(pair: CmPair, options: RsocketOptions = {}): Promise<Met> {
  const { udpPort = 4791, ...target } = pair.to;
  const faults = new FaultCounts();
  const connecting = connectRsocket(pair.client, target, { ...options, udpPort }, faults);
  const request = await Promise.race([pair.listener.next(), connecting]);
  if (request === undefined || 'connection' in request) throw new Error('no request came');
  const accepting = acceptRsocket(pair.server, request, options, faults);
  const [client, server] = await Promise.all([connecting, accepting]);
  return { client, server };
}

/** Up to the end, which leaves the other direction alone. */
async function text(stream: ByteStream): Promise<string> {
  let all = '';
  stream.setEncoding('utf8').on('data', (chunk) => {
    all += chunk;
  });
  await once(stream, 'end');
  return all;
}

function streamOf(channel: RsocketChannel): ByteStream {
  const stream = new ByteStream();
  stream.attach(channel);
  return stream;
}

test('a request and its answer, each up to its end', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair);
  const [asking, answering] = [streamOf(client), streamOf(server)];
  asking.end('what is the time?');
  assert.equal(await text(answering), 'what is the time?');
  answering.end('late');
  assert.equal(await text(asking), 'late');
  await Promise.all([client.closed, server.closed]);
});

test('8 MiB arrive whole through rings of 4 KiB', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair, { receiveBufferBytes: 4096, sendBufferBytes: 3000 });
  const [writer, reader] = [streamOf(client), streamOf(server)];
  reader.end();
  const bytes = pattern(8 * 1024 * 1024);
  writer.end(bytes);
  const hash = createHash('sha256');
  for await (const chunk of reader) hash.update(chunk);
  assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
  writer.resume();
  await Promise.all([client.closed, server.closed]);
});

test('a channel tells how many pieces have arrived while its peer reads, and no more when the peer stops', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair, { receiveBufferBytes: 4096, sendBufferBytes: 3000 });
  assert.equal(client.piecesArrived, 0);
  const writer = streamOf(client);
  writer.on('error', () => {}).end(pattern(100_000));
  while (client.piecesArrived === 0) await delay(5);
  const full = client.piecesArrived;
  await delay(50);
  assert.ok(client.piecesArrived - full <= 4, 'the ring of the peer is full');
  const stopped = client.piecesArrived;
  const reader = streamOf(server).resume();
  await once(reader, 'end');
  assert.ok(client.piecesArrived > stopped);
  reader.end();
  writer.resume();
  await Promise.all([client.closed, server.closed]);
});

test('a stream that is destroyed with an error is a lost connection to its peer', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair);
  const [writer, reader] = [streamOf(client), streamOf(server)];
  writer.on('error', () => {});
  writer.write('half of');
  reader.resume();
  const [chunk] = await once(reader, 'data');
  assert.equal(String(chunk), 'half of');
  writer.destroy(new Error('enough'));
  const [error] = await once(reader, 'error');
  assert.equal((error as { code: string }).code, 'ERR_RDMA_CONNECTION_LOST');
  await Promise.all([client.closed, server.closed]);
});

test('a stream that is closed early ends in order for its peer, which learns of it when it writes', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair);
  const [leaving, staying] = [streamOf(client), streamOf(server)];
  leaving.end('bye', () => leaving.destroy());
  assert.equal(await text(staying), 'bye');
  // Between the end of its data and its last word it takes what comes.
  const timer = setInterval(() => staying.write('wait'), 5);
  const [error] = await within(once(staying, 'error'), 10_000);
  clearInterval(timer);
  assert.match((error as Error).message, /has closed and takes no more data/);
  await Promise.all([client.closed, server.closed]);
});

test('a write to a peer that has closed fails in the next turn, and does not wait for the end of the queue pair', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair);
  const atEnd = new Promise<void>((resolve) => {
    server.listener = {
      onReadable: () => {
        if (server.isAtEnd) resolve();
      },
      onReset: () => {},
      onClosed: () => told.push('closed'),
    };
  });
  const told: string[] = [];
  client.end(() => {});
  client.close(null);
  await within(atEnd);
  server.write(Buffer.from('wait'), () => told.push('done'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, ['closed']);
  await Promise.all([client.closed, server.closed]);
});

test('a channel that is closed before its end is a reset to its peer, whatever else was said', async () => {
  await using pair = await CmPair.open();
  for (const error of [null, new Error('enough')]) {
    const { client, server } = await meet(pair);
    const reader = streamOf(server);
    client.write(Buffer.from('half of'), () => {});
    const [chunk] = await once(reader, 'data');
    assert.equal(String(chunk), 'half of');
    let hasEnded = false;
    reader.on('end', () => {
      hasEnded = true;
    });
    if (error !== null) client.end(() => {});
    client.close(error);
    const [told] = await within(once(reader, 'error'));
    assert.equal((told as { code: string }).code, 'ERR_RDMA_CONNECTION_LOST');
    if (error === null) assert.equal(hasEnded, false);
    await Promise.all([client.closed, server.closed]);
  }
});

test('what was written and ended before a channel is closed arrives, though the ring holds a part of it', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair, { receiveBufferBytes: 4096, sendBufferBytes: 3000 });
  const bytes = pattern(200_000);
  client.write(bytes, () => {});
  client.end(() => {});
  client.close(null);
  const reader = streamOf(server);
  reader.end();
  const chunks: Buffer[] = [];
  for await (const chunk of reader) chunks.push(chunk as Buffer);
  assert.deepEqual(Buffer.concat(chunks), Buffer.from(bytes));
  await Promise.all([client.closed, server.closed]);
});

test('a peer whose device vanishes while bytes wait for room at it ends a closed channel, and does not use up its patience', async () => {
  const vanishing = await FragileDevice.open(`soft:${SERVER_HOST}`);
  await using pair = await CmPair.open({ serverDevice: vanishing.device });
  const { client, server } = await meet(pair, { receiveBufferBytes: 4096, sendBufferBytes: 100_000 });
  streamOf(server).on('error', () => {});
  client.write(pattern(50_000), () => {});
  client.end(() => {});
  // Nobody reads: the rest waits, and nothing is under way.
  while (client.piecesArrived < 2) await delay(5);
  await delay(50);
  vanishing.isDark = true;
  client.close(null);
  await within(client.closed, 25_000);
});

test('a writer that waits for room learns that the device of its peer has vanished', async () => {
  const vanishing = await FragileDevice.open(`soft:${SERVER_HOST}`);
  await using pair = await CmPair.open({ serverDevice: vanishing.device });
  const { client, server } = await meet(pair, { receiveBufferBytes: 4096, sendBufferBytes: 3000 });
  streamOf(server).on('error', () => {});
  const writer = streamOf(client);
  writer.write(pattern(50_000));
  while (client.piecesArrived < 2) await delay(5);
  await delay(50);
  vanishing.isDark = true;
  const [error] = (await within(once(writer, 'error'), 25_000)) as [Error];
  assert.match(error.message, /the way to 127\.0\.0\.3 is lost/);
});

/** A peer that says what a test has it say. */
interface Stock {
  readonly endpoint: Endpoint;
  readonly connection: CmConnection;
  readonly channel: RsocketChannel;
}

async function meetStock(pair: CmPair): Promise<Stock> {
  const { endpoint, terms } = await RsocketMemory.open(pair.client, {});
  const privateData = writePrivateData(terms);
  const connecting = connect(pair.client, { ...pair.to, qp: endpoint, privateData });
  const request = await Promise.race([pair.listener.next(), connecting]);
  if (request === undefined || 'connection' in request || !('accept' in request))
    throw new Error('no request');
  const accepting = acceptRsocket(pair.server, request, {}, new FaultCounts());
  const [connection, channel] = await Promise.all([connecting, accepting]);
  return { endpoint, connection, channel };
}

function say({ endpoint }: Stock, imm: number): void {
  const opcode = WrOpcode.RDMA_WRITE_WITH_IMM;
  endpoint.qp.postSend({ wrId: 1, opcode, remoteAddr: 0, rkey: 0 as RKey, imm });
}

/** As librdmacm does when the end of its peer crosses its own: it leaves at once, and repeats nothing that was lost. */
async function leaveAtShutdown({ endpoint, connection }: Stock): Promise<void> {
  let isHeard = false;
  await endpoint.until(
    () => isHeard,
    ({ opcode, imm }) => {
      if (opcode === WcOpcode.RECV_RDMA_WITH_IMM && imm === SHUTDOWN) isHeard = true;
    },
  );
  await connection.disconnect();
}

test('a peer that has said DISCONNECT has longer than a repetition takes to ask whether that was heard', async () => {
  await using pair = await CmPair.open();
  const stock = await meetStock(pair);
  const reader = streamOf(stock.channel);
  say(stock, DISCONNECT);
  reader.end();
  await text(reader);
  const isEnded = await Promise.race([stock.connection.ended, delay(REPEATED_MILLIS).then(() => null)]);
  assert.equal(isEnded, null);
  await stock.connection.disconnect();
  await stock.channel.closed;
  await stock.endpoint.close();
});

test('a peer that leaves when it hears the end, and whose last word got lost, is a lost connection, with that as the reason', async () => {
  await using pair = await CmPair.open();
  const stock = await meetStock(pair);
  const stream = streamOf(stock.channel);
  stream.on('end', () => assert.fail('nobody has said that the data had ended'));
  stream.resume().end('all that there is');
  const failing = once(stream, 'error');
  await within(leaveAtShutdown(stock));
  const [error] = (await within(failing)) as [RdmaError];
  assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(error.message, /has given the connection up, and has not said that its data had ended$/);
  assert.equal(error.cause, undefined);
  await stock.channel.closed;
  await stock.endpoint.close();
});

test('a peer that has said its end, and leaves before it has heard ours, is told apart from one that has not', async () => {
  await using pair = await CmPair.open();
  const stock = await meetStock(pair);
  const stream = streamOf(stock.channel);
  const failing = once(stream, 'error');
  say(stock, SHUTDOWN);
  await text(stream);
  await stock.connection.disconnect();
  const [error] = (await within(failing)) as [RdmaError];
  assert.match(error.message, /has given the connection up before this end was done with it$/);
  assert.equal(error.cause, undefined);
  await stock.channel.closed;
  await stock.endpoint.close();
});

test('memory that an end offers is written by the other, before the data behind it', async () => {
  await using pair = await CmPair.open();
  const { client, server } = await meet(pair, { iomapEntries: 1 });
  const [writer, reader] = [streamOf(client), streamOf(server)];
  const offer = await server.iomap.offer(200_000, 1000);
  await assert.rejects(server.iomap.offer(1), { code: 'ERR_RDMA_LIMIT' });
  await client.iomap.untilOffered(1000, 200_000);
  await assert.rejects(client.iomap.write(999, new Uint8Array(1)), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  const bytes = pattern(150_000);
  const written = client.iomap.write(51_000, bytes);
  // The region of the write is made first.
  await written;
  writer.write('look');
  reader.resume();
  await once(reader, 'data');
  assert.deepEqual(Buffer.from(offer.bytes.subarray(50_000)), Buffer.from(bytes));
  await offer.withdraw();
  // The entry is free for another offer, which a second time does not touch.
  const other = await server.iomap.offer(100, 5000);
  await offer.withdraw();
  await client.iomap.untilOffered(5000, 100);
  await assert.rejects(server.iomap.offer(1), { code: 'ERR_RDMA_LIMIT' });
  await other.withdraw();
  writer.end();
  reader.end();
  await Promise.all([client.closed, server.closed]);
  await assert.rejects(client.iomap.untilOffered(0, 1), { code: 'ERR_RDMA_CONNECTION_LOST' });
});
