/** Encrypted connections: nothing readable on the wire, nothing forged delivered, and all else as without. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ServiceClient, sha256 } from '../../src/cli/service/message-service.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { RawClient } from '../../testkit/raw-client.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { TcpCutter } from '../../testkit/tcp-cutter.js';

const ON = { encryption: 'aes-256-gcm' } as const;

for (const [who, ofServer, ofClient] of [
  ['both sides want it', ON, ON],
  ['only the server wants it', ON, {}],
  ['only the client wants it', {}, ON],
] as const) {
  test(`messages, writes and reads work sealed when ${who}`, async () => {
    const server = await startServer(undefined, ofServer);
    const connection = await connectTo(server, ofClient);
    const client = new ServiceClient(connection);
    await client.welcome();
    assert.equal(connection.isEncrypted, true);
    assert.equal([...server.connections][0]?.isEncrypted, true);
    const message = randomBytes(100_000);
    assert.deepEqual(Buffer.from(await client.echo(message)), message);
    const data = randomBytes(700_000);
    assert.equal((await client.write(data, 1000)).sha256, sha256(data));
    assert.equal(sha256(await client.read(1000, data.length)), sha256(data));
    await connection.close();
    await serverIsEmpty(server);
    await server.close();
  });
}

/** What crossed the wire while a client sent, wrote and read `secret`. */
async function wireOf(secret: Buffer, options: typeof ON | object): Promise<Buffer> {
  const dir = mkdtempSync(join(tmpdir(), 'queuepair-wire-'));
  try {
    const capture = join(dir, 'wire.pcapng');
    const server = await startServer(undefined, options);
    const connection = await connectTo(server, { ...options, device: `${FREE_DEVICE}&capture=${capture}` });
    const client = new ServiceClient(connection);
    await client.welcome();
    await client.echo(secret);
    await client.write(secret);
    await client.read(0, secret.length);
    await connection.close();
    await server.close();
    return readFileSync(capture);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test('a secret that is sent, written and read can be seen on the wire, and not when it is sealed', async () => {
  const secret = Buffer.from(`the secret ${randomBytes(16).toString('hex')}`);
  assert.equal((await wireOf(secret, {})).includes(secret), true);
  assert.equal((await wireOf(secret, ON)).includes(secret), false);
});

test('sealed connections recover, with new keys for messages and the old ones for memory', async () => {
  const fragile = await FragileDevice.open(FREE_DEVICE);
  const server = await startServer(undefined, ON);
  const tcp = await TcpCutter.to(server.address);
  const connection = await connectTo(server, { ...ON, device: fragile.device, port: tcp.port });
  const client = new ServiceClient(connection);
  await client.welcome();
  for (let round = 0; round < 6; round++) {
    const data = randomBytes(50_000);
    const writing = connection.write(connection.remoteBuffer?.at(0, data.length) ?? assert.fail(), data, {
      repeatable: true,
    });
    const echo = client.echo(data);
    if (round % 2 === 0) await fragile.failQueuePairs();
    else tcp.cut();
    await writing;
    assert.deepEqual(Buffer.from(await echo), data);
    assert.deepEqual(Buffer.from(await client.read(0, data.length)), data);
  }
  assert.ok(connection.statistics.recoveries >= 3, `${connection.statistics.recoveries} recoveries`);
  await connection.close();
  await server.close();
  await tcp[Symbol.asyncDispose]();
  await fragile.device.close();
});

test('a message that is not sealed is not delivered, and ends an encrypted connection', async () => {
  const seen: unknown[] = [];
  const server = await startServer(async (connection) => {
    for await (const message of connection) seen.push(message);
  }, ON);
  const ended = new Promise((resolve) => {
    server.once('disconnection', (_, error) => resolve(error?.code));
  });
  const raw = await RawClient.connect(server);
  await raw.send(randomBytes(100));
  assert.equal(await ended, 'ERR_RDMA_INTEGRITY');
  assert.deepEqual(seen, []);
  await raw.vanish();
  await server.close();
});
