/** What a rendezvous over TLS tells of a peer between two meetings, and what it answers by itself. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { MeetingSteps, RendezvousListener } from '../../src/connection/lifeline/rendezvous.js';
import { TlsRendezvous } from '../../src/connection/lifeline/tls-rendezvous.js';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { encodeFrame, type Frame } from '../../src/session/frames.js';
import { PathProof } from '../../src/session/path-proof.js';
import type { ProofSeen, SessionAttributes } from '../../src/session/session-data.js';
import { connectTls } from '../../src/session/tls-client.js';
import { toPsn } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { within } from '../../testkit/within.js';
import {
  arrival,
  clientOptions,
  connectRaw,
  PARAMETERS,
  rdmaError,
  type SharedServer,
  sharedServer,
  startServer,
} from '../session/support.js';

const shared = sharedServer();

/** What a rendezvous tells, and the next of it. */
class Told implements RendezvousListener {
  readonly all: string[] = [];
  #next: (() => void) | undefined;

  async until(text: string): Promise<void> {
    while (this.all.at(-1) !== text) {
      await new Promise<void>((resolve) => {
        this.#next = resolve;
      });
    }
  }

  onHeard(): void {
    this.#tell('heard');
  }

  onRestart(): void {
    this.#tell('restart');
  }

  onLeft(): void {
    this.#tell('left');
  }

  onParted(): void {
    this.#tell('parted');
  }

  onEnded({ code, message }: RdmaError): void {
    this.#tell(`${code}: ${message.replace(/127\.0\.0\.1:\d+/, 'HOST')}`);
  }

  #tell(text: string): void {
    this.all.push(text);
    this.#next?.();
  }
}

async function watched(): Promise<{
  client: ControlChannel;
  rendezvous: TlsRendezvous;
  served: ControlChannel;
  told: Told;
}> {
  const client = await connectTls(clientOptions(shared.certificates, shared.port));
  const served = await shared.channel;
  for (const channel of [client, served]) channel.handshakeDone();
  const rendezvous = new TlsRendezvous(served);
  const told = new Told();
  rendezvous.watch(told);
  return { client, rendezvous, served, told };
}

const PSN: Frame = { type: 'psn', psn: toPsn(77) };

test('frames of a peer that is up are signs of life, and a ping is answered', async () => {
  const { client, rendezvous, told } = await watched();
  client.send({ type: 'ping' });
  assert.deepEqual(await client.receive(), { type: 'pong' });
  client.send({ type: 'pong' });
  rendezvous.ask();
  assert.deepEqual(await client.receive(), { type: 'ping' });
  await client.close();
  await told.until('left');
  assert.deepEqual(told.all, ['heard', 'heard', 'left']);
  assert.deepEqual(rendezvous.end, { error: undefined });
});

test('the PSN with which a peer starts over is told and left for the meeting', async () => {
  const { client, served, told } = await watched();
  client.send(PSN);
  client.send({ type: 'ready' });
  await told.until('restart');
  assert.deepEqual(await served.receive(), PSN);
  assert.deepEqual(await served.receive(), { type: 'ready' });
  assert.deepEqual(told.all, ['restart']);
  await client.close();
});

test('a frame that does not belong there ends the rendezvous, and the peer learns why', async () => {
  const { client, told } = await watched();
  client.send({ type: 'ready' });
  const message = 'the client HOST sent "ready" after the session was established';
  await told.until(`ERR_RDMA_PROTOCOL: ${message}`);
  const refused = await rdmaError(client.receive());
  assert.match(refused.message, /sent "ready" after the session was established/);
  assert.deepEqual(told.all.length, 1);
});

test('a peer that is lost is told of with the reason, and so is one that this side gives up', async () => {
  const { client, told } = await watched();
  client.drop(lost());
  await told.until('ERR_RDMA_CONNECTION_LOST: the client HOST hung up without saying bye');
  const { client: other, rendezvous, told: toldOther } = await again();
  rendezvous.drop(lost());
  await toldOther.until('ERR_RDMA_CONNECTION_LOST: given up');
  await rdmaError(other.receive());
});

test('a ping just before the goodbye is a sign of life that needs no answer', async () => {
  const { socket, frames } = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  served.handshakeDone();
  const told = new Told();
  new TlsRendezvous(served).watch(told);
  // In one piece, so that the channel has ended when the ping is read.
  socket.write(Buffer.concat([encodeFrame({ type: 'ping' }), encodeFrame({ type: 'bye' })]));
  assert.deepEqual(await within(frames), []);
  assert.deepEqual(told.all, ['heard', 'left']);
});

test('whoever stops the watch, or begins another, leaves the frames to the next', async () => {
  const { client, rendezvous, served, told } = await watched();
  rendezvous.unwatch();
  client.send({ type: 'pong' });
  assert.deepEqual(await served.receive(), { type: 'pong' });
  const next = new Told();
  rendezvous.watch(next);
  client.send({ type: 'pong' });
  await next.until('heard');
  await client.close();
  await next.until('left');
  assert.deepEqual(told.all, []);
});

test('the first frame after a meeting is told, also where the peer had its proof first', async () => {
  const client = await connectTls(clientOptions(shared.certificates, shared.port));
  const served = await shared.channel;
  let isWordHere = (): void => {};
  const own = new Promise<void>((resolve) => {
    isWordHere = resolve;
  });
  const receive = served.receive.bind(served);
  mock.method(served, 'receive', async () => {
    const frame = await receive();
    if (frame.type === 'proven') setImmediate(isWordHere);
    return frame;
  });
  const steps = (prove: Promise<void>): MeetingSteps => ({
    prepare: async () => PARAMETERS,
    peerFault: async () => undefined,
    connect: async () => {},
    prove: () => prove,
  });
  const rendezvous = new TlsRendezvous(served);
  const both = [rendezvous.meet(steps(own)), new TlsRendezvous(client).meet(steps(Promise.resolve()))];
  await within(Promise.all(both));
  const told = new Told();
  rendezvous.watch(told);
  client.send({ type: 'pong' });
  await within(told.until('heard'));
  rendezvous.unwatch();
  client.send({ type: 'pong' });
  assert.deepEqual(await within(served.receive()), { type: 'pong' });
  await client.close();
});

for (const isHere of [false, true]) {
  const what = isHere ? 'has seen and left' : 'waited for in vain';
  test(`a frame that somebody ${what} is told to the watch`, async () => {
    const client = await connectTls(clientOptions(shared.certificates, shared.port));
    const served = await shared.channel;
    for (const channel of [client, served]) channel.handshakeDone();
    const seen = served.peek();
    if (isHere) client.send(PSN);
    if (isHere) assert.deepEqual(await within(seen), PSN);
    const told = new Told();
    new TlsRendezvous(served).watch(told);
    if (!isHere) client.send(PSN);
    await within(told.until('restart'));
    assert.deepEqual(await within(served.receive()), PSN);
    await client.close();
  });
}

test('both ends leave: each says so as its last word, and hears that it goes on without the session', async () => {
  const { client, rendezvous, served, told } = await watched();
  const other = new Told();
  const ofClient = new TlsRendezvous(client);
  ofClient.watch(other);
  rendezvous.part();
  assert.equal(rendezvous.isParted, true);
  assert.equal(rendezvous.end, undefined);
  ofClient.part();
  await within(Promise.all([told.until('parted'), other.until('parted')]));
  await within(Promise.all([client.closed, served.closed]));
  assert.deepEqual([told.all, other.all], [['parted'], ['parted']]);
  assert.deepEqual([rendezvous.isParted, ofClient.isParted], [true, true]);
});

test('of a session that is lost while it is left, the server goes on, and the client comes back', async () => {
  const { client, rendezvous, told } = await watched();
  const other = new Told();
  const ofClient = new TlsRendezvous(client);
  ofClient.watch(other);
  ofClient.part();
  await within(
    told.until('ERR_RDMA_PROTOCOL: the client HOST sent "leave" after the session was established'),
  );
  assert.equal(rendezvous.isParted, false);
  const { client: second, rendezvous: server, told: toldServer } = await again();
  server.part();
  second.drop(lost());
  await within(toldServer.until('parted'));
  const { client: third, rendezvous: dropping } = await again();
  const toldThird = new Told();
  const comingBack = new TlsRendezvous(third);
  comingBack.watch(toldThird);
  dropping.ask();
  await within(toldThird.until('heard'));
  comingBack.part();
  dropping.drop(lost());
  await within(third.closed);
  assert.match(toldThird.all[1] ?? '', /^ERR_RDMA_CONNECTION_LOST: /);
  assert.equal(comingBack.isParted, false);
});

test('a peer that starts over on a session that was left learns at once that it is gone', async () => {
  const { client, rendezvous, told } = await watched();
  rendezvous.part();
  assert.deepEqual(await within(client.receive()), { type: 'leave' });
  client.send(PSN);
  await within(told.until('restart'));
  assert.equal((await within(rdmaError(client.receive()))).code, 'ERR_RDMA_CONNECTION_LOST');
});

// --- what it means that nothing proved the path ---------------------------------------------------------------------------

/** Both ends meet, with UDP ports of their own, and the proof of each ends as the test wants. */
async function meetings(
  proofs: {
    server: Promise<void>;
    client: Promise<void>;
    seen?: Partial<Record<'server' | 'client', ProofSeen>>;
  },
  ports = ONE_PORT,
  over: Pick<SharedServer, 'port' | 'channel'> = shared,
): Promise<{
  client: ControlChannel;
  ofServer: Promise<RdmaError>;
  ofClient: Promise<RdmaError>;
  rendezvous: TlsRendezvous;
}> {
  const client = await connectTls(clientOptions(shared.certificates, over.port));
  const rendezvous = new TlsRendezvous(await over.channel);
  const stepsOf = (who: 'server' | 'client'): MeetingSteps => ({
    prepare: async () => ({
      ...PARAMETERS,
      path: { ...PARAMETERS.path, udpPort: ports[who], mtu: MTUS[who] },
    }),
    peerFault: async () => undefined,
    connect: async () => {},
    prove(_, onSeen) {
      onSeen(proofs.seen?.[who] ?? { sent: 0, arrived: 0 });
      return proofs[who];
    },
  });
  const ofServer = rdmaError(rendezvous.meet(stepsOf('server')));
  const ofClient = rdmaError(new TlsRendezvous(client).meet(stepsOf('client')));
  return { client, ofServer, ofClient, rendezvous };
}

const ONE_PORT = { server: 4791, client: 4791 };
const MTUS = { server: 4096, client: 1024 } as const;
const NEVER = new Promise<void>(() => {});
const failing = (error: RdmaError): Promise<void> => {
  const proof = Promise.reject(error);
  proof.catch(() => {});
  return proof;
};
const unanswered = (): RdmaError =>
  new RdmaError('ERR_RDMA_COMPLETION', 'nobody answered', { status: 'RETRY_EXC_ERR' });

test('a queue pair that nobody answers means that UDP does not come through, and the one that learns it tells the other', async () => {
  const cause = unanswered();
  const { client, ofServer, ofClient, rendezvous } = await meetings({
    server: failing(cause),
    client: NEVER,
  });
  const error = await within(ofServer);
  assert.equal(error.code, 'ERR_RDMA_UNREACHABLE');
  assert.equal(error.cause, cause);
  assert.match(
    error.message,
    /^TCP from 127\.0\.0\.1:\d+ works, but UDP port 4791 does not come through: open it in both directions$/,
  );
  assert.equal(rendezvous.end, undefined, 'another attempt may be made');
  rendezvous.fail(error, error.message);
  const told = await within(ofClient);
  assert.deepEqual(
    { code: told.code, refusal: told.refusal },
    { code: 'ERR_RDMA_UNREACHABLE', refusal: 'unreachable' },
  );
  assert.match(told.message, /^TCP to 127\.0\.0\.1:\d+ works, but UDP port 4791 does not come through/);
  await client.closed;
});

test('two UDP ports are both named, each end with its own first', async () => {
  const proofs = { server: failing(unanswered()), client: failing(unanswered()) };
  const { client, ofServer, ofClient } = await meetings(proofs, { server: 4791, client: 4444 });
  assert.match(
    (await within(ofServer)).message,
    /UDP ports 4791 here and 4444 there do not come through: open them/,
  );
  assert.match(
    (await within(ofClient)).message,
    /UDP ports 4444 here and 4791 there do not come through: open them/,
  );
  await client.close();
});

for (const [what, seen, sentences] of [
  [
    'all small packets',
    { server: [0, 0], client: [0, 0] },
    [
      /UDP port 4791 does not come through: open it in both directions$/,
      /UDP port 4791 does not come through: open it in both directions$/,
    ],
  ],
  [
    'packets to the server',
    { server: [0, 0], client: [0, 2] },
    [
      /does not come through: open it in both/,
      /does not come through to the server: open it in that direction$/,
    ],
  ],
  [
    'packets to the client',
    { server: [0, 1], client: [0, 0] },
    [/does not come through to the client: open it in that/, /does not come through: open it in both/],
  ],
  [
    'large packets',
    { server: [1, 1], client: [1, 1] },
    [
      /come through, but those that carry 1024 bytes do not: lower path\.mtu/,
      /come through, but those that carry 1024 bytes do not: lower path\.mtu/,
    ],
  ],
  [
    'large packets to the server',
    { server: [2, 1], client: [1, 2] },
    [/1024 bytes do not from the client: lower/, /1024 bytes do not to the server: lower/],
  ],
  [
    'large packets to the client',
    { server: [1, 2], client: [2, 1] },
    [/1024 bytes do not to the client: lower/, /1024 bytes do not from the server: lower/],
  ],
] as const) {
  test(`a path that loses ${what}: what came through tells the size and the direction, at either end`, async () => {
    const [ofOne, ofOther] = [seen.server, seen.client].map(([sent, arrived]) => ({ sent, arrived })) as [
      ProofSeen,
      ProofSeen,
    ];
    const { client, ofServer, ofClient } = await meetings({
      server: failing(unanswered()),
      client: failing(unanswered()),
      seen: { server: ofOne, client: ofOther },
    });
    const errors = await within(Promise.all([ofServer, ofClient]));
    for (const [i, { code, message }] of errors.entries()) {
      assert.equal(code, 'ERR_RDMA_UNREACHABLE');
      assert.match(message, sentences[i] as RegExp);
    }
    await client.close();
  });
}

test('an end that gives the proof up for want of time says what that means, and so does its peer', async () => {
  const { ofServer, ofClient, rendezvous } = await meetings({ server: NEVER, client: NEVER });
  const served = await shared.channel;
  while (served.sessionsBefore === 0) await new Promise(setImmediate);
  rendezvous.fail(new RdmaError('ERR_RDMA_TIMEOUT', 'too slow'), 'something else');
  assert.equal((await within(ofServer)).code, 'ERR_RDMA_UNREACHABLE');
  const { code, refusal, cause } = await within(ofClient);
  assert.deepEqual({ code, refusal }, { code: 'ERR_RDMA_UNREACHABLE', refusal: 'unreachable' });
  assert.match(String(cause), /TCP from 127\.0\.0\.1:\d+ works, but UDP port 4791 does not come through/);
});

test('an end that is told that UDP does not come through before its own proof began says so as well', async () => {
  const client = await connectTls(clientOptions(shared.certificates, shared.port));
  const served = await shared.channel;
  const met = new TlsRendezvous(client).meet({
    prepare: () => new Promise((_, reject) => void client.closed.then(({ error }) => reject(error))),
    peerFault: async () => undefined,
    connect: async () => {},
    prove: () => NEVER,
  });
  served.send(PSN);
  served.fail(new RdmaError('ERR_RDMA_UNREACHABLE', 'TCP works, but UDP does not'));
  const { code, refusal, message } = await within(rdmaError(met));
  assert.deepEqual({ code, refusal }, { code: 'ERR_RDMA_UNREACHABLE', refusal: 'unreachable' });
  assert.match(message, /TCP works, but UDP does not$/);
});

test('an end whose own proof is complete does not take the end of the session for a blocked path', async () => {
  const all = { sent: 2, arrived: 2 };
  const { ofServer, ofClient, rendezvous } = await meetings({
    server: Promise.resolve(),
    client: NEVER,
    seen: { server: all, client: all },
  });
  const served = await shared.channel;
  while (served.sessionsBefore === 0) await new Promise(setImmediate);
  const late = new RdmaError('ERR_RDMA_TIMEOUT', 'too slow');
  rendezvous.fail(late, 'too slow');
  assert.equal(await within(ofServer), late);
  assert.equal((await within(ofClient)).code, 'ERR_RDMA_REFUSED');
});

test('a proof that does not come before the deadline of the handshake means the same', async () => {
  const own = arrival();
  await using brief = await startServer(shared.certificates, {
    onChannel: own.arrive,
    handshakeDeadlineMillis: 300,
  });
  const proofs = { server: NEVER, client: NEVER };
  const { ofServer, ofClient } = await meetings(proofs, ONE_PORT, { port: brief.port, channel: own.channel });
  for (const { code, message } of await within(Promise.all([ofServer, ofClient]))) {
    assert.equal(code, 'ERR_RDMA_UNREACHABLE');
    assert.match(message, /UDP port 4791 does not come through/);
  }
});

test('an end that hears nothing learns from the other one that it was heard, and both name the direction that is closed', async () => {
  const own = arrival();
  await using brief = await startServer(shared.certificates, {
    onChannel: own.arrive,
    handshakeDeadlineMillis: 600,
  });
  const proofs = {
    server: NEVER,
    client: NEVER,
    seen: { server: { sent: 0, arrived: 1 }, client: { sent: 0, arrived: 0 } },
  };
  const { ofServer, ofClient } = await meetings(proofs, ONE_PORT, { port: brief.port, channel: own.channel });
  const [ofOne, ofOther] = await within(Promise.all([ofServer, ofClient]));
  assert.equal(ofOne.lost, 'all-to-peer');
  assert.match(ofOne.message, /does not come through to the client: open it in that direction$/);
  assert.equal(ofOther.lost, 'all-from-peer');
  assert.match(ofOther.message, /does not come through from the server: open it in that direction$/);
});

test('what has arrived is told when a proof takes its time, whenever it is more, and never after the own proof', async () => {
  const peer = await connectRaw(shared.port, shared.certificates);
  const channel = await shared.channel;
  const proof = new PathProof(channel);
  const onSeen = proof.begin({} as SessionAttributes);
  onSeen({ sent: 0, arrived: 1 });
  await within(new Promise((resolve) => peer.socket.once('data', resolve)));
  onSeen({ sent: 1, arrived: 1 });
  onSeen({ sent: 1, arrived: 2 });
  onSeen({ sent: 2, arrived: 2 });
  proof.end();
  await channel.close();
  const told = (await within(peer.frames)).filter(({ type }) => type === 'arrived');
  assert.deepEqual(told, [
    { type: 'arrived', messages: 1 },
    { type: 'arrived', messages: 2 },
  ]);
});

test('a proof of which all comes through at once tells nothing of its course', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent: Frame[] = [];
  const channel = { end: undefined, send: (frame: Frame) => sent.push(frame) } as unknown as ControlChannel;
  const proof = new PathProof(channel);
  const onSeen = proof.begin({} as SessionAttributes);
  onSeen({ sent: 1, arrived: 0 });
  onSeen({ sent: 2, arrived: 0 });
  t.mock.timers.tick(10_000);
  proof.begin({} as SessionAttributes);
  proof.end();
  t.mock.timers.tick(10_000);
  assert.deepEqual(sent, []);
});

test('a proof that fails for another reason keeps that one', async () => {
  const reason = new RdmaError('ERR_RDMA_COMPLETION', 'the queue pair failed', { status: 'WR_FLUSH_ERR' });
  const { client, ofServer, ofClient } = await meetings({ server: failing(reason), client: NEVER });
  assert.equal(await within(ofServer), reason);
  client.drop(lost());
  assert.equal((await within(ofClient)).message, 'given up');
});

test('what has ended the session says more than the proof that failed with it', async () => {
  let failProof = (_: RdmaError): void => {};
  const proof = new Promise<void>((_, reject) => {
    failProof = reject;
  });
  const { ofServer, ofClient, rendezvous } = await meetings({ server: proof, client: NEVER });
  const served = await shared.channel;
  while (served.sessionsBefore === 0) await new Promise(setImmediate);
  const reason = new RdmaError('ERR_RDMA_PROTOCOL', 'it broke the rules');
  failProof(unanswered());
  rendezvous.fail(reason, reason.message);
  assert.equal(await within(ofServer), reason);
  assert.equal((await within(ofClient)).code, 'ERR_RDMA_REFUSED');
});

for (const role of ['client', 'server'] as const) {
  test(`a proof that nobody answers, with a session that is lost just then, blames what counts at a ${role}`, async () => {
    let failProof = (_: RdmaError): void => {};
    const proof = new Promise<void>((_, reject) => {
      failProof = reject;
    });
    const { client, ofServer, ofClient } = await meetings({ server: NEVER, client: NEVER, [role]: proof });
    const served = await shared.channel;
    while (served.sessionsBefore === 0 || client.sessionsBefore === 0) await new Promise(setImmediate);
    failProof(unanswered());
    const channel = role === 'client' ? client : served;
    channel.drop(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'TCP was cut'));
    const error = await within(role === 'client' ? ofClient : ofServer);
    // Who may be up comes back: the server waits.
    assert.equal(error.code, role === 'client' ? 'ERR_RDMA_UNREACHABLE' : 'ERR_RDMA_CONNECTION_LOST');
    await within(role === 'client' ? ofServer : ofClient);
  });
}

test('a peer that breaks the protocol before the proof is told so, whatever became of UDP', async () => {
  const { client, ofServer, ofClient } = await meetings({ server: NEVER, client: NEVER });
  const served = await shared.channel;
  while (served.sessionsBefore === 0) await new Promise(setImmediate);
  client.send({ type: 'ready' });
  assert.equal((await within(ofServer)).code, 'ERR_RDMA_PROTOCOL');
  assert.equal((await within(ofClient)).code, 'ERR_RDMA_REFUSED');
});

function again(): ReturnType<typeof watched> {
  shared.renew();
  return watched();
}

const lost = (): RdmaError => new RdmaError('ERR_RDMA_CONNECTION_LOST', 'given up');
