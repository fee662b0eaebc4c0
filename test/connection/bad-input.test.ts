/** What a server does with clients that break the rules: each gets its answer, and nothing of it is left. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect as connectRawTls, type TLSSocket } from 'node:tls';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { ServiceTag } from '../../src/cli/service/service-tags.js';
import {
  HEADER_BYTES,
  type MessageHeader,
  MessageKind,
  writeHeader,
} from '../../src/connection/fragments/message-header.js';
import type { Server } from '../../src/connection/server/server.js';
import { openChannel, RawClient } from '../../testkit/raw-client.js';
import { connectTo, serverIsEmpty, startServer, testCertificates } from '../../testkit/session-pair.js';

/** What the server reports of the next client that ends badly. */
function nextReason(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.once('refused', ({ reason }) => resolve(reason));
    server.once('disconnection', (_, error) => resolve(`${error?.code} ${error?.status}: ${error?.message}`));
  });
}

async function rawTls(server: Server): Promise<TLSSocket> {
  const { caPem } = await testCertificates();
  const socket = connectRawTls({ ...server.address, ca: caPem, ALPNProtocols: ['queuepair/1'] });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** Everything that the server says until it hangs up. */
async function answerTo(socket: TLSSocket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1');
}

function frame(body: string): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(Buffer.byteLength(body));
  return Buffer.concat([prefix, Buffer.from(body)]);
}

const tooLarge = Buffer.alloc(4);
tooLarge.writeUInt32BE(4097);

const BAD_FRAMES: readonly [string, Buffer, RegExp][] = [
  ['a frame above 4 KiB', tooLarge, /frame_too_large/],
  ['a frame that is not JSON', frame('PSN please'), /not_json/],
  ['a frame of another version', frame('{"v":2,"type":"psn","psn":1}'), /wrong_version/],
  ['a PSN above 24 bits', frame('{"v":1,"type":"psn","psn":16777216}'), /not_valid/],
  ['an unknown frame', frame('{"v":1,"type":"hello"}'), /unknown_type/],
  ['a frame with an extra field', frame('{"v":1,"type":"psn","psn":1,"x":1}'), /not_valid/],
  ['"ready" before the PSN', frame('{"v":1,"type":"ready"}'), /unexpected_frame/],
];

for (const [what, bytes, reason] of BAD_FRAMES) {
  test(`${what} is answered with the reason, and the session freed`, async () => {
    const server = await startServer();
    const reported = nextReason(server);
    const socket = await rawTls(server);
    socket.write(bytes);
    assert.match(await answerTo(socket), reason);
    assert.match(await reported, reason);
    await serverIsEmpty(server);
    await server.close();
  });
}

test('a second PSN after the objects exist ends the session and frees them', async () => {
  const server = await startServer();
  const reported = nextReason(server);
  const socket = await rawTls(server);
  socket.write(frame('{"v":1,"type":"psn","psn":1}'));
  while (server.census().qps === 0) await new Promise((resolve) => setImmediate(resolve));
  socket.write(frame('{"v":1,"type":"psn","psn":2}'));
  assert.match(await answerTo(socket), /unexpected_frame/);
  assert.match(await reported, /unexpected_frame/);
  await serverIsEmpty(server);
  await server.close();
});

test('peers that are silent in TCP, after TLS, and after their PSN are freed by the deadline', async () => {
  const server = await startServer(undefined, { handshakeDeadlineMillis: 300 });
  const reasons: string[] = [];
  server.on('refused', ({ reason }) => reasons.push(reason));
  const silentTcp = connectTcp(server.address.port, server.address.host);
  const silentTls = await rawTls(server);
  const silentLater = await rawTls(server);
  silentLater.write(frame('{"v":1,"type":"psn","psn":1}'));
  while (reasons.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const reason of reasons) assert.match(reason, /within 300 ms/);
  await serverIsEmpty(server);
  for (const socket of [silentTcp, silentTls, silentLater]) socket.destroy();
  await server.close();
});

test('a client that is silent holds neither slot nor verbs object before its PSN', async () => {
  const server = await startServer();
  const channel = await openChannel(server);
  while (server.census().controlChannels === 0) await new Promise((resolve) => setImmediate(resolve));
  const { slots, qps, cqs, pds, mrs } = server.census();
  assert.deepEqual([slots, qps, cqs, pds, mrs], [0, 0, 0, 0, 0]);
  await channel.close();
  await serverIsEmpty(server);
  await server.close();
});

test('a SEND above the receive is LOC_LEN_ERR here, REM_INV_REQ_ERR there, and hurts no one else', async () => {
  const server = await startServer(undefined, { recoveryMillis: 0 });
  const honest = await connectTo(server);
  const client = new ServiceClient(honest);
  await client.welcome();
  const raw = await RawClient.connect(server);
  const reported = nextReason(server);
  await raw.send(new Uint8Array(raw.terms.receive.slotBytes + 1));
  assert.equal(await raw.statusOf(1), 'REM_INV_REQ_ERR');
  assert.match(await reported, /ERR_RDMA_COMPLETION (LOC_LEN_ERR|QP_REQ_ERR)/);
  await raw.vanish();
  assert.equal(Buffer.from(await client.echo('unharmed')).toString(), 'unharmed');
  await honest.close();
  await serverIsEmpty(server);
  await server.close();
});

const fragment = (bytes: number, fields: Partial<MessageHeader> = {}) => {
  const data = new Uint8Array(HEADER_BYTES + bytes);
  const usual = { kind: MessageKind.DATA, flags: 0, sequence: 0, limit: 16, stream: 0, tag: 0, value: bytes };
  writeHeader(data, 0, { ...usual, ...fields });
  return data;
};

const BAD_MESSAGES: readonly [string, Uint8Array, RegExp][] = [
  ['without room for its header', new Uint8Array(HEADER_BYTES - 1), /no room for its header/],
  ['of an unknown version', fragment(4, {}).fill(9, 0, 1), /version 9/],
  ['of an unknown kind', fragment(4, { kind: 200 as MessageKind }), /unknown kind 200/],
  ['out of sequence', fragment(4, { sequence: 5 }), /out of sequence/],
  ['that reaches beyond its message', fragment(40, { value: 4 }), /beyond its message/],
  ['with an unknown flag', fragment(4, { flags: 64 }), /unknown_flag/],
  ['with reserved bits', fragment(4).fill(1, 3, 4), /reserved_bits/],
  ['that names a stream', fragment(4, { stream: 1 }), /unused_field/],
  [
    'on a stream that it may not open',
    fragment(4, { kind: MessageKind.STREAM, stream: 1, value: 0 }),
    /too_many_streams/,
  ],
  ['with a limit that went back', fragment(4, { limit: 15 }), /limit_went_back/],
  ['above the limit', fragment(4, { value: 0xffffffff }), /is the limit/],
  ['that only servers send', fragment(4, { tag: ServiceTag.WELCOME }), /does not send welcome/],
  ['announcing a write that is no JSON', fragment(4, { tag: ServiceTag.WRITE }), /not JSON/],
];

for (const [what, bytes, reason] of BAD_MESSAGES) {
  test(`a message ${what} ends its connection with the reason`, async () => {
    const server = await startServer(undefined, { streams: { open: 0 } });
    const raw = await RawClient.connect(server);
    const reported = nextReason(server);
    await raw.send(bytes);
    assert.match(await reported, reason);
    await raw.vanish();
    await serverIsEmpty(server);
    await server.close();
  });
}

test('a client that vanishes in the middle of its work is freed, and its slot can be used again', async () => {
  const server = await startServer(undefined, { slots: 1 });
  const raw = await RawClient.connect(server);
  const reported = nextReason(server);
  await raw.send(fragment(1000, { value: 100_000 }));
  await raw.vanish();
  await reported;
  await serverIsEmpty(server);
  const next = await connectTo(server);
  await next.close();
  await serverIsEmpty(server);
  await server.close();
});
