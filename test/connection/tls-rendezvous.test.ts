/** What a rendezvous over TLS tells of a peer between two meetings, and what it answers by itself. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { RendezvousListener } from '../../src/connection/rendezvous.js';
import { TlsRendezvous } from '../../src/connection/tls-rendezvous.js';
import type { ControlChannel } from '../../src/session/control-channel.js';
import type { Frame } from '../../src/session/frames.js';
import { connectTls } from '../../src/session/tls-client.js';
import { toPsn } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import {
  arrival,
  clientOptions,
  noConnections,
  rdmaError,
  startServer,
  type TestCertificates,
  type TestServer,
  testCertificates,
} from '../session/support.js';

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
after(() => server.server.close());

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
  stop: () => void;
}> {
  const client = await connectTls(clientOptions(certificates, server.port));
  const served = await arrived.channel;
  for (const channel of [client, served]) channel.handshakeDone();
  const rendezvous = new TlsRendezvous(served);
  const told = new Told();
  const stop = rendezvous.watch(told);
  return { client, rendezvous, served, told, stop };
}

const PSN: Frame = { type: 'psn', psn: toPsn(77) };

test('frames of a peer that is up are signs of life, and a ping is answered', async () => {
  const { client, rendezvous, told } = await watched();
  client.send({ type: 'ping' });
  assert.deepEqual(await client.receive(), { type: 'pong' });
  client.send({ type: 'pong' });
  client.send({ type: 'proven' });
  rendezvous.ask();
  assert.deepEqual(await client.receive(), { type: 'ping' });
  await client.close();
  await told.until('left');
  assert.deepEqual(told.all, ['heard', 'heard', 'heard', 'left']);
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
  const { client, told } = await watched();
  client.send({ type: 'ping' });
  await client.close();
  await told.until('left');
  assert.deepEqual(told.all, ['heard', 'left']);
});

test('whoever stops the watch, or begins another, leaves the frames to the next', async () => {
  const { client, rendezvous, served, told, stop } = await watched();
  stop();
  client.send({ type: 'pong' });
  assert.deepEqual(await served.receive(), { type: 'pong' });
  const next = new Told();
  rendezvous.watch(next);
  stop();
  client.send({ type: 'pong' });
  await next.until('heard');
  await client.close();
  await next.until('left');
  assert.deepEqual(told.all, []);
});

function again(): ReturnType<typeof watched> {
  arrived = arrival();
  return watched();
}

const lost = (): RdmaError => new RdmaError('ERR_RDMA_CONNECTION_LOST', 'given up');
