/**
 * Clients that are let in and tell, as their own queue pair, one of the server's device: its own end of this connection, its
 * end of another one, or a queue pair of the program. The server ties itself to none of them, neither at first nor when it
 * speaks first in a recovery, where a client can also tell the PSN that fits.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from '../../src/connection/program/connection.js';
import { openDevice } from '../../src/open-device.js';
import type { ControlChannel } from '../../src/session/control-channel.js';
import type { Frame } from '../../src/session/frames.js';
import { generatePsn } from '../../src/session/psn-source.js';
import type { ToldPath } from '../../src/session/session-data.js';
import { bindParameters } from '../../src/session/session-secrets.js';
import { type Psn, toQpn } from '../../src/verbs/brands.js';
import { openChannel, RawClient } from '../../testkit/raw-client.js';
import { FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { UDP_ONLY } from '../../testkit/udp-only.js';

type FrameOf<Type extends Frame['type']> = Extract<Frame, { readonly type: Type }>;

async function nextFrame<Type extends Frame['type']>(
  channel: ControlChannel,
  type: Type,
): Promise<FrameOf<Type>> {
  for (;;) {
    const frame = await channel.receive();
    if (frame.type === type) return frame as FrameOf<Type>;
  }
}

/** Tells `path` as the client's own. */
function tell(channel: ControlChannel, psn: Psn, path: ToldPath, received: number): void {
  const terms = {
    receive: { slots: 16, slotBytes: 4096 },
    messages: { maxBytes: 4096, windowBytes: 4096 },
    streams: { open: 0, windowBytes: 4096 },
    buffer: null,
    received,
    device: 'crossed',
  };
  const binding = bindParameters(channel, 'client', psn, { path, terms });
  channel.send({ type: 'parameters', path, terms, binding });
}

async function refusedAsOwn(channel: ControlChannel): Promise<void> {
  await assert.rejects(channel.receive(), { code: 'ERR_RDMA_REFUSED', message: /own_queue_pair/ });
}

/** The server's path, which it tells when it has the client's PSN. */
async function begin(channel: ControlChannel, psn: Psn): Promise<ToldPath> {
  channel.send({ type: 'psn', psn });
  return (await nextFrame(channel, 'parameters')).path;
}

test('two clients that tell each the other one’s end at the server are both refused', async () => {
  await using server = await startServer();
  const channels = [await openChannel(server), await openChannel(server)] as const;
  const psns = [generatePsn(), generatePsn()] as const;
  const paths = [await begin(channels[0], psns[0]), await begin(channels[1], psns[1])] as const;
  assert.notEqual(paths[0].qpn, paths[1].qpn);
  tell(channels[0], psns[0], paths[1], 0);
  tell(channels[1], psns[1], paths[0], 0);
  for (const channel of channels) await refusedAsOwn(channel);
  await serverIsEmpty(server);
});

test('a client that tells a queue pair that the server’s program made on its device is refused', async () => {
  await using device = await openDevice(FREE_DEVICE);
  await using pd = await device.allocPd();
  await using cq = await device.createCq({ capacity: 1 });
  await using qp = await pd.createQp({ sendCq: cq, recvCq: cq });
  await using server = await startServer(undefined, { device });
  for (const qpn of [qp.qpn, toQpn((qp.qpn + 77) % 0xfffff0)]) {
    const channel = await openChannel(server);
    const psn = generatePsn();
    const path = await begin(channel, psn);
    tell(channel, psn, { ...path, qpn }, 0);
    await refusedAsOwn(channel);
  }
});

/** A client whose queue pair is gone, at a server that has begun to recover from that. */
interface Abandoned {
  readonly client: RawClient;
  readonly channel: ControlChannel;
  /** What the server will send with. */
  readonly psn: Psn;
}

/** `count` connections that the server recovers, and speaks first. */
async function abandoned(count: number) {
  const echoed: Connection[] = [];
  const server = await startServer(
    async (connection) => {
      echoed.push(connection);
      // A greeting: what a connection that is tied to itself would answer for ever.
      void connection.send('greeting');
      for await (const { data } of connection) void connection.send(data);
    },
    // Patience of 2 ms, in which a ring in memory is not made on every machine.
    { device: `${FREE_DEVICE}&io=${UDP_ONLY}`, path: { timeout: 8, retryCount: 1 } },
  );
  const clients: RawClient[] = [];
  for (let i = 0; i < count; i++) clients.push(await RawClient.connect(server));
  while (echoed.length < count || echoed.some(({ statistics }) => statistics.messagesSent === 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const all: Abandoned[] = [];
  for (const [i, client] of clients.entries()) {
    await client.qp.close();
    void echoed[i]?.send('into the void');
    const { psn } = await nextFrame(client.channel, 'psn');
    all.push({ client, channel: client.channel, psn });
  }
  const end = async (): Promise<void> => {
    assert.deepEqual(
      echoed.map(({ statistics }) => statistics.messagesReceived),
      Array.from({ length: count }, () => 0),
      'the server had a message of its own',
    );
    for (const client of clients) await client.vanish();
    await serverIsEmpty(server);
    await server.close();
  };
  return { all, end };
}

test('a client that answers a recovery with the server’s own queue pair and PSN is refused', async () => {
  const { all, end } = await abandoned(1);
  const [{ channel, psn }] = all as [Abandoned];
  tell(channel, psn, await begin(channel, psn), 1);
  await refusedAsOwn(channel);
  await end();
});

test('two clients that cross the server’s ends in a recovery, with PSNs that fit, are both refused', async () => {
  const { all, end } = await abandoned(2);
  const [a, b] = all as [Abandoned, Abandoned];
  const pathOfA = await begin(a.channel, b.psn);
  const pathOfB = await begin(b.channel, a.psn);
  tell(a.channel, b.psn, pathOfB, 1);
  tell(b.channel, a.psn, pathOfA, 1);
  for (const { channel } of all) await refusedAsOwn(channel);
  await end();
});
