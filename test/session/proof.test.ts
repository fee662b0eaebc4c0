/** The proof of a link: what counts as one, which frames may come before it, and who reads what comes after it. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { encodeFrame, type Frame } from '../../src/session/frames.js';
import { untilProven } from '../../src/session/proof.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { within } from '../../testkit/within.js';
import {
  arrival,
  connectRaw,
  noConnections,
  noOpenSockets,
  PSN_A,
  type RawPeer,
  rdmaError,
  startServer,
  type TestCertificates,
  type TestServer,
  testCertificates,
} from './support.js';

let certificates: TestCertificates;
let server: TestServer;
let arrived = arrival();

before(async () => {
  certificates = await testCertificates();
  server = await startServer(certificates, { onChannel: (channel) => arrived.arrive(channel) });
});
afterEach(async () => {
  arrived = arrival();
  await noConnections(server.server);
});
after(async () => {
  await server.server.close();
  await noOpenSockets();
});

/** Our end of a channel, and a peer that says what the test wants. */
async function channelToRawPeer(): Promise<{ channel: ControlChannel; peer: RawPeer }> {
  const peer = await connectRaw(server.port, certificates);
  return { channel: await arrived.channel, peer };
}

const say = ({ socket }: RawPeer, ...frames: Frame[]): void => {
  for (const frame of frames) socket.write(encodeFrame(frame));
};

const typesOf = async (peer: RawPeer): Promise<string[]> =>
  (await within(peer.frames)).map(({ type }) => type);

const NEVER = new Promise<void>(() => {});

test("a proof of one's own is enough, and the peer is told", async () => {
  const { channel, peer } = await channelToRawPeer();
  await within(untilProven(channel, Promise.resolve()));
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['proven', 'bye']);
});

test('the word of the peer is enough, and needs no answer', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'proven' });
  await within(untilProven(channel, NEVER));
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['bye']);
});

test('pings before the proof are answered, and neither they nor pongs prove anything', async () => {
  const { channel, peer } = await channelToRawPeer();
  let isProven = false;
  const proof = untilProven(channel, NEVER).then(() => {
    isProven = true;
  });
  say(peer, { type: 'pong' }, { type: 'ping' });
  await new Promise<void>((resolve) => peer.socket.once('data', () => resolve()));
  assert.equal(isProven, false);
  say(peer, { type: 'proven' });
  await within(proof);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['pong', 'bye']);
});

test("a proof of one's own that fails is the reason, and the channel stays open for the next attempt", async () => {
  const { channel, peer } = await channelToRawPeer();
  const failure = new RdmaError('ERR_RDMA_COMPLETION', 'nothing came back');
  assert.equal(await within(rdmaError(untilProven(channel, Promise.reject(failure)))), failure);
  assert.equal(channel.end, undefined);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['bye']);
});

test('a peer that starts over before the proof is lost for now, and its PSN stays for the next session', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'psn', psn: PSN_A });
  const { code, message } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(message, /starts over before a packet came through$/);
  assert.deepEqual(await within(channel.receive()), { type: 'psn', psn: PSN_A });
  await channel.close();
});

test('a peer that says bye before the proof is lost', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'bye' });
  const { code, message } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(message, /said bye before a packet came through$/);
});

test('any other frame before the proof is a breach of the protocol, and the peer learns of which kind', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'ready' });
  const error = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
  assert.match(error.message, /it sent "ready" before a packet came through/);
  assert.equal(channel.end?.error, error);
  assert.deepEqual(await typesOf(peer), ['error']);
});

test('what the peer says after the proof is for the next reader', async () => {
  const { channel, peer } = await channelToRawPeer();
  await within(untilProven(channel, Promise.resolve()));
  say(peer, { type: 'ping' }, { type: 'pong' });
  assert.deepEqual(await within(channel.receive()), { type: 'ping' });
  assert.deepEqual(await within(channel.receive()), { type: 'pong' });
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['proven', 'bye']);
});

test('a link that was proven before its channel ended is proven', async () => {
  const { channel } = await channelToRawPeer();
  channel.drop(new RdmaError('ERR_RDMA_TIMEOUT', 'it is silent'));
  await within(untilProven(channel, Promise.resolve()));
});

test('a peer that was proven and then failed has been proven', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'proven' }, { type: 'error', code: 'timeout', message: 'something else' });
  await within(channel.closed);
  await within(untilProven(channel, NEVER));
});
