/** One server process and what becomes of it with many clients, also with some that die. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { ServiceClient, sha256 } from '../../src/cli/service/message-service.js';
import { connect } from '../../src/connection/client/client.js';
import type { Connection } from '../../src/connection/program/connection.js';
import {
  clientFlags,
  metricsOf,
  Program,
  type RunningServer,
  runProgram,
  serve,
  stop,
  testDir,
} from '../../testkit/program.js';

const OBJECTS = /^queuepair_(objects\{.*\}|slots_used|connections)$/;

async function connectTo({ port }: RunningServer): Promise<Connection> {
  const { caPem, client } = await loadOrCreateDevCertificates(join(testDir(), 'certs'));
  const own = { ca: caPem, cert: client.certPem, key: client.keyPem };
  return connect({ host: '127.0.0.1', port, ...own, device: 'soft:127.0.0.1?port=0' });
}

/** What the server holds, when that is what it held `before`; the test's own timeout bounds the waiting. */
async function census(server: RunningServer): Promise<Map<string, number>> {
  return new Map([...(await metricsOf(server))].filter(([name]) => OBJECTS.test(name)));
}

async function isBackTo(before: Map<string, number>, server: RunningServer): Promise<void> {
  for (;;) {
    const now = await census(server);
    if ([...before].every(([name, count]) => now.get(name) === count)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('serve caps what one certificate may have, and goes on with those that it has', async () => {
  const server = await serve('--per-identity', '2', '--per-address', '20');
  const connections = [await connectTo(server), await connectTo(server)];
  await assert.rejects(connectTo(server), { message: /has its 2 connections already/ });
  for (const connection of connections) await new ServiceClient(connection).welcome();
  await connections[0]?.close();
  connections.push(await connectTo(server));
  for (const connection of connections) await connection.close();
  assert.equal((await stop(server)).code, 0);
});

test('serve bounds what one identity sends and is sent, and its metrics say how often that was', async () => {
  const server = await serve('--rate', '1GB', '--message-rate', '20', '--metrics', '0');
  const connection = await connectTo(server);
  const client = new ServiceClient(connection);
  await client.welcome();
  const began = performance.now();
  const COUNT = 60;
  for (let i = 0; i < COUNT; i++) await client.echo(randomBytes(8));
  // A second of them at once, the receives that it has, and what came meanwhile.
  const seconds = (performance.now() - began + 1) / 1000;
  assert.ok(COUNT <= 20 + 32 + 20 * seconds, `${COUNT} messages within ${seconds} s`);
  const metrics = await metricsOf(server);
  const throttled = (direction: string): number =>
    metrics.get(`queuepair_throttled_total{direction="${direction}"}`) ?? assert.fail('no such metric');
  assert.ok(throttled('in') + throttled('out') > 0);
  assert.equal(metrics.get('queuepair_rated_identities'), 1);
  await connection.close();
  assert.equal((await stop(server)).code, 0);
});

test('30 clients in turn and 10 at once; the eleventh is told why it may not come; nothing is left', async () => {
  const server = await serve('--metrics', '0');
  const before = await census(server);
  assert(before.size > 8);
  assert.deepEqual(new Set(before.values()), new Set([0]));
  for (let i = 0; i < 30; i++) {
    const connection = await connectTo(server);
    const client = new ServiceClient(connection);
    assert.equal(await client.welcome(), `welcome, client ${i + 1}`);
    await client.echo(randomBytes(1 + i));
    await connection.close();
  }
  await isBackTo(before, server);

  const connections = await Promise.all(Array.from({ length: 10 }, () => connectTo(server)));
  const full = await metricsOf(server);
  assert.equal(full.get('queuepair_slots_used'), 10);
  assert.equal(full.get('queuepair_objects{kind="qps"}'), 10);
  assert.equal(full.get('queuepair_objects{kind="cqs"}'), 2, 'they share theirs');
  const eleventh = await runProgram([...clientFlags(server), '--exec', 'quit']);
  assert.equal(eleventh.code, 1);
  assert.match(eleventh.stderr, /^queuepair: .*all 10 slots of this server are in use; try again later.*\n$/);
  await Promise.all(
    connections.map(async (connection) => {
      const client = new ServiceClient(connection);
      await client.welcome();
      const data = randomBytes(100_000);
      assert.equal((await client.write(data)).sha256, sha256(data));
      await connection.close();
    }),
  );
  await isBackTo(before, server);

  const after = await metricsOf(server);
  assert.equal(after.get('queuepair_connections_accepted_total'), 40);
  assert.equal(after.get('queuepair_connections_ended_total{outcome="orderly"}'), 40);
  assert.equal(after.get('queuepair_refusals_total{kind="no-slot"}'), 1);
  assert.equal(after.get('queuepair_refusals_total{kind="other"}'), 0);
  assert.equal(after.get('queuepair_messages_total{direction="in"}'), 40);
  assert.equal(after.get('queuepair_messages_total{direction="out"}'), 80);
  await stop(server);
});

test('a client that is killed in the middle of a transfer is freed, and another does not notice', async () => {
  const server = await serve('--metrics', '0', '--slots', '2', '--recovery', '500');
  const before = await census(server);
  const other = await connectTo(server);
  const client = new ServiceClient(other);
  await client.welcome();
  const victim = new Program([...clientFlags(server), '--exec', 'auto 1000000']);
  await server.program.event('write', ({ client: number }) => number === 2);
  victim.kill('SIGKILL');
  const lost = server.program.event('disconnected', ({ client: number }) => number === 2);
  let rounds = 0;
  for (let gone = false; !gone; rounds++) {
    const data = randomBytes(50_000);
    assert.equal((await client.write(data)).sha256, sha256(data));
    assert.equal(sha256(await client.read(0, data.length)), sha256(data));
    gone = await Promise.race([lost.then(() => true), new Promise<false>((r) => setImmediate(r, false))]);
  }
  assert(rounds > 1);
  const { code } = (await lost)['error'] as { code: string };
  assert.match(code, /^ERR_RDMA_(CONNECTION_LOST|TIMEOUT)$/);
  assert.equal(other.statistics.recoveries, 0);
  const next = await connectTo(server);
  await next.close();
  await other.close();
  await isBackTo(before, server);
  await stop(server);
});
