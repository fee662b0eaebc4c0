import assert from 'node:assert/strict';
import { connect as tcpConnect } from 'node:net';
import { test } from 'node:test';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { encodeFrame, type Frame } from '../../src/session/frames.js';
import { connectTls } from '../../src/session/tls-client.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { REFUSAL_KINDS } from '../../src/verbs/refusal-kind.js';
import { within } from '../../testkit/within.js';
import {
  clientOptions,
  connectRaw,
  PSN_A,
  PSN_B,
  rawFrame,
  rdmaError,
  sharedServer,
  startServer,
} from './support.js';

const shared = sharedServer();

async function pair(): Promise<{ client: ControlChannel; served: ControlChannel }> {
  const client = await connectTls(clientOptions(shared.certificates, shared.port));
  return { client, served: await shared.channel };
}

/** Waits until the server's end is gone too, so that nothing of one test is left for the next. */
async function bothClosed(...channels: ControlChannel[]): Promise<void> {
  await Promise.all(channels.map((channel) => channel.closed));
}

test('frames pass in both directions, in order, and both sides know who the other is', async () => {
  const { client, served } = await pair();
  client.send({ type: 'psn', psn: PSN_A });
  client.send({ type: 'ready' });
  served.send({ type: 'psn', psn: PSN_B });
  assert.deepEqual(await served.receive(), { type: 'psn', psn: PSN_A });
  assert.deepEqual(await served.receive(), { type: 'ready' });
  assert.deepEqual(await client.receive(), { type: 'psn', psn: PSN_B });

  assert.equal(served.peer?.subject, 'CN=test client');
  assert.deepEqual(served.peer?.sans, ['DNS:client-7.test']);
  assert.match(served.peer?.fingerprint256 ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.equal(client.peer?.subject, 'CN=test server');
  assert.deepEqual(client.peer?.sans, ['DNS:localhost', 'IP:127.0.0.1']);

  await client.close();
  await bothClosed(served);
});

test('both ends export the same keying material, another one for each label and context', async () => {
  const { client, served } = await pair();
  const context = Uint8Array.of(1, 2, 3);
  const key = client.exportKeyingMaterial(32, 'EXPORTER-queuepair-test', context);
  assert.equal(key.length, 32);
  assert.deepEqual(served.exportKeyingMaterial(32, 'EXPORTER-queuepair-test', context), key);
  assert.notDeepEqual(served.exportKeyingMaterial(32, 'EXPORTER-queuepair-other', context), key);
  assert.notDeepEqual(served.exportKeyingMaterial(32, 'EXPORTER-queuepair-test'), key);
  await client.close();
  await bothClosed(served);
  assert.throws(() => client.exportKeyingMaterial(32, 'EXPORTER-queuepair-test'), {
    code: 'ERR_RDMA_CLOSED',
  });
});

test('bye is delivered after the frames before it, and ends both sides without an error', async () => {
  const { client, served } = await pair();
  client.send({ type: 'ready' });
  await client.close('work is done');
  assert.deepEqual(await served.receive(), { type: 'ready' });
  assert.deepEqual(await served.receive(), { type: 'bye', reason: 'work is done' });
  assert.equal((await rdmaError(served.receive())).code, 'ERR_RDMA_CLOSED');
  assert.deepEqual(await served.closed, { error: undefined });
  assert.deepEqual(await client.closed, { error: undefined });
  assert.throws(() => client.send({ type: 'ready' }), { code: 'ERR_RDMA_CLOSED' });
  await client.close();
});

test('bye tells what had been received, and the end of the channel keeps it', async () => {
  const { client, served } = await pair();
  await client.close('quit', 0xffffffff);
  assert.deepEqual(await served.closed, { error: undefined, received: 0xffffffff });
  assert.deepEqual(await client.closed, { error: undefined });
});

test('close() rejects a receive() that waits, and only one may wait', async () => {
  const { client, served } = await pair();
  const waiting = rdmaError(served.receive());
  assert.equal((await rdmaError(served.receive())).code, 'ERR_RDMA_INVALID_STATE');
  await served.close();
  assert.equal((await waiting).code, 'ERR_RDMA_CLOSED');
  await bothClosed(client);
});

test("a peer's error frame arrives as ERR_RDMA_REFUSED with its text made harmless", async () => {
  const { client, served } = await pair();
  served.send({ type: 'psn', psn: PSN_B });
  served.send({ type: 'error', code: 'no\u0007slot', message: '\u001b[2Jall slots\nare taken' });
  const { error } = await client.closed;
  assert.equal(error?.code, 'ERR_RDMA_REFUSED');
  assert.equal(
    error?.message,
    `the server 127.0.0.1:${shared.port} ended the session: [2Jall slots are taken`,
  );
  assert.equal(error?.refusal, 'other', 'a word that is no kind is none');
  // The PSN came before the error, but a session that has failed delivers nothing.
  assert.equal(await rdmaError(client.receive()), error);
  await bothClosed(served);
});

test('whatever word a client ends with, its server counts it as left and keeps no word of its own', async () => {
  for (const word of [...REFUSAL_KINDS, 'constructor', 'x'.repeat(64)]) {
    shared.renew();
    const { socket } = await connectRaw(shared.port, shared.certificates);
    const served = await shared.channel;
    socket.write(rawFrame(JSON.stringify({ v: 1, type: 'error', code: word, message: 'why' })));
    const { error, told } = await served.closed;
    assert.deepEqual([error?.code, error?.refusal], ['ERR_RDMA_REFUSED', 'left'], word);
    assert.equal(told, REFUSAL_KINDS.find((kind) => kind === word) ?? 'other');
  }
});

test('a handler that rejects ends its channel: our own errors with their message, others without', async () => {
  const errors = [new RdmaError('ERR_RDMA_LIMIT', 'all 10 slots are taken'), new Error('secret detail')];
  const told: string[] = [];
  for (const thrown of errors) {
    await using failing = await startServer(shared.certificates, { onChannel: () => Promise.reject(thrown) });
    const { frames } = await connectRaw(failing.port, shared.certificates);
    const [answer] = await frames;
    assert.ok(answer?.type === 'error');
    told.push(`${answer.code}: ${answer.message}`);
  }
  assert.deepEqual(told, ['resources: all 10 slots are taken', 'internal: internal error of the server']);
});

const VIOLATIONS: Readonly<Record<string, { bytes: Buffer; reason: string; message: RegExp }>> = {
  'a frame over 4 KiB': {
    bytes: rawFrame('', 4097),
    reason: 'frame_too_large',
    message: /may hold 4096 bytes, this one announces 4097/,
  },
  'what is no frame at all': {
    bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    reason: 'frame_too_large',
    message: /may hold 4096 bytes/,
  },
  'a body that is not JSON': { bytes: rawFrame('psn=5'), reason: 'not_json', message: /must be JSON/ },
  'a frame without its fields': {
    bytes: rawFrame('{"v":1,"type":"psn"}'),
    reason: 'not_valid',
    message: /"psn" is missing/,
  },
  'a PSN over 24 bits': {
    bytes: rawFrame('{"v":1,"type":"psn","psn":16777216}'),
    reason: 'not_valid',
    message: /"psn" must be an integer from 0 to 16777215/,
  },
  'a frame of version 2': {
    bytes: rawFrame('{"v":2,"type":"psn","psn":1}'),
    reason: 'wrong_version',
    message: /speaks version 1/,
  },
  'a type that does not exist': {
    bytes: rawFrame('{"v":1,"type":"shell"}'),
    reason: 'unknown_type',
    message: /"shell" is not a control frame/,
  },
};

for (const [name, { bytes, reason, message }] of Object.entries(VIOLATIONS)) {
  test(`${name} is answered with ${reason}, and the session is gone on both sides`, async () => {
    const { socket, frames } = await connectRaw(shared.port, shared.certificates);
    const served = await shared.channel;
    const waiting = rdmaError(served.receive());
    socket.write(bytes);
    const error = await waiting;
    assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
    assert.match(error.message, message);
    assert.match(error.message, new RegExp(`\\(${reason}\\)`));
    const answers = await frames;
    assert.equal(answers.length, 1);
    const [answer] = answers;
    assert.ok(answer?.type === 'error');
    assert.equal(answer.code, 'protocol');
    assert.ok(answer.message.startsWith(`${reason}: `));
    assert.match(answer.message, message);
    assert.deepEqual(await served.closed, { error });
  });
}

test('frames after a violation in the same bytes are not delivered', async () => {
  const { socket } = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  socket.write(
    Buffer.concat([encodeFrame({ type: 'ready' }), rawFrame('{'), encodeFrame({ type: 'ready' })]),
  );
  const { error } = await served.closed;
  assert.equal(error?.code, 'ERR_RDMA_PROTOCOL');
  assert.equal(await rdmaError(served.receive()), error);
});

test('a connection that drops is ERR_RDMA_CONNECTION_LOST, and says whether a frame was cut', async () => {
  const cases: [Buffer, RegExp][] = [
    [Buffer.alloc(0), /hung up without saying bye/],
    [encodeFrame({ type: 'ready' }).subarray(0, 9), /hung up in the middle of a frame/],
  ];
  for (const [bytes, message] of cases) {
    shared.renew();
    const { socket } = await connectRaw(shared.port, shared.certificates);
    const served = await shared.channel;
    socket.end(bytes);
    const error = await rdmaError(served.receive());
    assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
    assert.match(error.message, message);
    await bothClosed(served);
  }
});

test('a reset connection is ERR_RDMA_CONNECTION_LOST', async () => {
  const tcp = tcpConnect(shared.port, '127.0.0.1').on('error', () => {});
  await connectRaw(shared.port, shared.certificates, { socket: tcp });
  const served = await shared.channel;
  const waiting = rdmaError(served.receive());
  tcp.resetAndDestroy();
  assert.equal((await waiting).code, 'ERR_RDMA_CONNECTION_LOST');
  await bothClosed(served);
});

test('frames that nobody awaits stop the peer at a bound; once awaited, all of them arrive in order', async () => {
  const { socket } = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  // However long this takes, it is not the handshake that is late.
  served.handshakeDone();
  // 16 MiB: more than the kernel holds between two sockets.
  const count = 4096;
  for (let n = 0; n < count; n += 1) {
    socket.write(rawFrame(JSON.stringify({ v: 1, type: 'psn', psn: n }).padEnd(4096)));
  }
  let unsentBytes = socket.writableLength;
  // Both ends are in this process: what moves at all moves within a few turns, however busy the machine is.
  for (let unchanged = 0; unchanged < 1000; unchanged += 1) {
    await new Promise(setImmediate);
    if (socket.writableLength === unsentBytes) continue;
    unsentBytes = socket.writableLength;
    unchanged = 0;
  }
  assert.ok(unsentBytes > 0, 'the peer could send everything though nobody awaited it');
  for (let n = 0; n < count; n += 1) {
    assert.deepEqual(await within(served.receive(), 10_000), { type: 'psn', psn: n });
  }
  await served.close();
});

test('a peer that does not read is dropped', async () => {
  const { socket } = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  socket.pause();
  const frame: Frame = { type: 'bye', reason: 'x'.repeat(256) };
  await assert.rejects(
    async () => {
      for (let sent = 0; sent < 200_000; sent += 1) {
        served.send(frame);
        if (sent % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    (error: RdmaError) =>
      error.code === 'ERR_RDMA_CONNECTION_LOST' && /does not read its control channel/.test(error.message),
  );
  await bothClosed(served);
  socket.destroy();
});
