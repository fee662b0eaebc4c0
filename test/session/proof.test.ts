/** The proof of a link: what counts as one, which frames may come before it, and who reads what comes after it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { encodeFrame, type Frame } from '../../src/session/frames.js';
import { untilProven } from '../../src/session/proof.js';
import { connectTls } from '../../src/session/tls-client.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { within } from '../../testkit/within.js';
import { clientOptions, connectRaw, PSN_A, type RawPeer, rdmaError, sharedServer } from './support.js';

const shared = sharedServer();

/** Our end of a channel, and a peer that says what the test wants. */
async function channelToRawPeer(): Promise<{ channel: ControlChannel; peer: RawPeer }> {
  const peer = await connectRaw(shared.port, shared.certificates);
  return { channel: await shared.channel, peer };
}

const say = ({ socket }: RawPeer, ...frames: Frame[]): void => {
  for (const frame of frames) socket.write(encodeFrame(frame));
};

const typesOf = async (peer: RawPeer): Promise<string[]> =>
  (await within(peer.frames)).map(({ type }) => type);

const NEVER = new Promise<void>(() => {});

/** What became of a promise by now, when all that is said has been read. */
async function soFar(promise: Promise<unknown>, { socket }: RawPeer): Promise<string> {
  say({ socket } as RawPeer, { type: 'ping' });
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  return Promise.race([
    promise.then(() => 'proven'),
    new Promise((resolve) => setImmediate(resolve, 'waits')),
  ]) as Promise<string>;
}

const WORD: Frame = { type: 'proven' };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Whoever waits for the proof has taken the word of the peer and seen that it leaves the session. */
async function leaveIsSeen(channel: ControlChannel): Promise<void> {
  while ((await within(channel.peek())).type !== 'leave') await turn();
  await turn();
}

test("a proof of one's own is told to the peer, and is not enough without its word", async () => {
  const { channel, peer } = await channelToRawPeer();
  const told = new Promise<void>((resolve) => peer.socket.once('data', () => resolve()));
  const proof = untilProven(channel, Promise.resolve());
  await told;
  assert.equal(await soFar(proof, peer), 'waits');
  say(peer, WORD);
  await within(proof);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['proven', 'pong', 'bye']);
});

test("the word of the peer is not enough without a proof of one's own", async () => {
  const { channel, peer } = await channelToRawPeer();
  let prove = (): void => {};
  const own = new Promise<void>((resolve) => {
    prove = resolve;
  });
  const proof = untilProven(channel, own);
  say(peer, WORD);
  assert.equal(await soFar(proof, peer), 'waits');
  prove();
  await within(proof);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['pong', 'proven', 'bye']);
});

test('a second word of the peer is a breach of the protocol', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, WORD, WORD);
  const { code, message } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_PROTOCOL');
  assert.match(message, /it sent "proven" before the link was proven/);
});

test('pings before the proof are answered, and neither they nor pongs prove anything', async () => {
  const { channel, peer } = await channelToRawPeer();
  const proof = untilProven(channel, Promise.resolve());
  say(peer, { type: 'pong' });
  assert.equal(await soFar(proof, peer), 'waits');
  say(peer, WORD);
  await within(proof);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['proven', 'pong', 'bye']);
});

test("a proof of one's own that fails is the reason, and the channel stays open for the next attempt", async () => {
  const { channel, peer } = await channelToRawPeer();
  const failure = new RdmaError('ERR_RDMA_COMPLETION', 'nothing came back');
  assert.equal(await within(rdmaError(untilProven(channel, Promise.reject(failure)))), failure);
  assert.equal(channel.end, undefined);
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['bye']);
});

test('a peer that starts over before the proof is lost for now, also after its word, and its PSN stays for the next session', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, WORD, { type: 'psn', psn: PSN_A });
  const { code, message } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(message, /starts over before packets of both sizes came through in both directions$/);
  assert.deepEqual(await within(channel.receive()), { type: 'psn', psn: PSN_A });
  await channel.close();
});

test('a peer that says bye before the proof is lost', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'bye' });
  const { code, message } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(message, /said bye before packets of both sizes came through in both directions$/);
});

test('a peer that has left is lost, and not told of a proof that came too late', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'bye' });
  await within(channel.closed);
  const { code } = await within(rdmaError(untilProven(channel, Promise.resolve())));
  assert.equal(code, 'ERR_RDMA_CONNECTION_LOST');
});

test('any other frame before the proof is a breach of the protocol, and the peer learns of which kind', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'ready' });
  const error = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
  assert.match(error.message, /it sent "ready" before the link was proven/);
  assert.equal(channel.end?.error, error);
  assert.deepEqual(await typesOf(peer), ['error']);
});

test('what the peer has of the proof is passed on until its word, and is a breach behind it', async () => {
  const { channel, peer } = await channelToRawPeer();
  const heard: number[] = [];
  say(peer, { type: 'arrived', messages: 0 }, { type: 'arrived', messages: 2 }, WORD, {
    type: 'arrived',
    messages: 2,
  });
  const error = await within(rdmaError(untilProven(channel, NEVER, (messages) => heard.push(messages))));
  assert.deepEqual(heard, [0, 2]);
  assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
  assert.match(error.message, /it sent "arrived" before the link was proven/);
});

test('a peer that was proven and fails before its word is read has been proven', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, WORD, { type: 'error', code: 'internal', message: 'out of memory' });
  await within(channel.closed);
  assert.equal(channel.end?.error?.code, 'ERR_RDMA_REFUSED');
  await within(untilProven(channel, Promise.resolve()));
});

test('what the peer says after the proof is for the next reader', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, WORD, { type: 'ping' }, { type: 'pong' });
  await within(untilProven(channel, Promise.resolve()));
  assert.deepEqual(await within(channel.receive()), { type: 'ping' });
  assert.deepEqual(await within(channel.receive()), { type: 'pong' });
  await channel.close();
  assert.deepEqual(await typesOf(peer), ['proven', 'bye']);
});

test('what the peer says after a proof that the own one completed is for the next reader', async () => {
  const { channel, peer } = await channelToRawPeer();
  let prove = (): void => {};
  const own = new Promise<void>((resolve) => {
    prove = resolve;
  });
  const proof = untilProven(channel, own);
  say(peer, WORD);
  assert.equal(await soFar(proof, peer), 'waits');
  prove();
  await within(proof);
  say(peer, { type: 'ping' }, { type: 'pong' });
  assert.deepEqual(await within(channel.receive()), { type: 'ping' });
  assert.deepEqual(await within(channel.receive()), { type: 'pong' });
  await channel.close();
});

test("a channel that ends before the peer's word proves nothing, whatever came through", async () => {
  const { channel } = await channelToRawPeer();
  const reason = new RdmaError('ERR_RDMA_TIMEOUT', 'it is silent');
  channel.drop(reason);
  assert.equal(await within(rdmaError(untilProven(channel, Promise.resolve()))), reason);
});

test('a session that the network takes after the own proof counts as proven for a client, as its server may have its word', async () => {
  for (const own of [Promise.resolve(), NEVER]) {
    shared.renew();
    const channel = await connectTls(clientOptions(shared.certificates, shared.port));
    const server = await shared.channel;
    const proof = untilProven(channel, own);
    const failure = rdmaError(proof);
    failure.catch(() => {});
    // What has come through once is not lost with the handshake of TLS.
    server.send({ type: 'ping' });
    const heard: Frame[] = [];
    while (heard.length < (own === NEVER ? 1 : 2)) heard.push(await within(server.receive()));
    assert.equal(
      heard.some(({ type }) => type === 'proven'),
      own !== NEVER,
    );
    server.drop(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the network is gone'));
    await within(channel.closed);
    if (own === NEVER) assert.equal((await within(failure)).code, 'ERR_RDMA_CONNECTION_LOST');
    else await within(proof);
  }
});

test('a session that either side has ended after the own proof proves nothing, and says why', async () => {
  for (const [ends, code] of [
    ['server', 'ERR_RDMA_REFUSED'],
    ['client', 'ERR_RDMA_TIMEOUT'],
  ] as const) {
    shared.renew();
    const channel = await connectTls(clientOptions(shared.certificates, shared.port));
    const server = await shared.channel;
    const failure = rdmaError(untilProven(channel, Promise.resolve()));
    assert.equal((await within(server.receive())).type, 'proven');
    (ends === 'server' ? server : channel).fail(new RdmaError('ERR_RDMA_TIMEOUT', 'it took too long'));
    assert.equal((await within(failure)).code, code);
  }
});

test('a session that the network takes after the own proof is no proof for a server, which waits for its client', async () => {
  const { channel, peer } = await channelToRawPeer();
  const failure = rdmaError(untilProven(channel, Promise.resolve()));
  await new Promise<void>((resolve) => peer.socket.once('data', () => resolve()));
  peer.socket.destroy();
  assert.equal((await within(failure)).code, 'ERR_RDMA_CONNECTION_LOST');
});

test('a peer that gave its word and then failed has been up, if it had the word of this end', async () => {
  for (const own of [Promise.resolve(), NEVER]) {
    shared.renew();
    const { channel, peer } = await channelToRawPeer();
    const proof = untilProven(channel, own);
    const failure = rdmaError(proof);
    failure.catch(() => {});
    say(peer, WORD, { type: 'error', code: 'timeout', message: 'something else' });
    await within(channel.closed);
    if (own === NEVER) assert.equal((await within(failure)).code, 'ERR_RDMA_REFUSED');
    else await within(proof);
  }
});

test('a peer that leaves the session after its word waits for the proof of this end, and its last frame stays for the next reader', async () => {
  const { channel, peer } = await channelToRawPeer();
  let prove = (): void => {};
  const own = new Promise<void>((resolve) => {
    prove = resolve;
  });
  const proof = untilProven(channel, own);
  say(peer, WORD, { type: 'leave' });
  await leaveIsSeen(channel);
  assert.equal(await Promise.race([proof.then(() => 'proven'), turn().then(() => 'waits')]), 'waits');
  prove();
  await within(proof);
  assert.deepEqual(await within(channel.receive()), { type: 'leave' });
  await channel.close();
});

test('a peer that leaves the session without its word breaks the protocol', async () => {
  const { channel, peer } = await channelToRawPeer();
  say(peer, { type: 'leave' });
  const { code } = await within(rdmaError(untilProven(channel, NEVER)));
  assert.equal(code, 'ERR_RDMA_PROTOCOL');
});

test('a peer that has left the session and is gone before the proof of this end is lost', async () => {
  const { channel, peer } = await channelToRawPeer();
  const proof = rdmaError(untilProven(channel, NEVER));
  say(peer, WORD, { type: 'leave' });
  await leaveIsSeen(channel);
  peer.socket.destroy();
  assert.equal((await within(proof)).code, 'ERR_RDMA_CONNECTION_LOST');
});
