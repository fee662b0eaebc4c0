/** A device that refuses what a connection asks of it ends the connection with the reason; nothing is left out in silence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from '../../src/connection/program/connection.js';
import type { Server } from '../../src/connection/server/server.js';
import { RdmaError } from '../../src/verbs/errors.js';
import type { ReceiveWorkRequest } from '../../src/verbs/work-request.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

/** Receives with numbers from here on are of memory that was asked for later. */
const PLACES_OF_A_BLOCK = 2 ** 17;
const MANY_MESSAGES = 500;
const PATIENCE_MILLIS = 5000;

interface Rig extends AsyncDisposable {
  readonly server: Server;
  readonly client: Connection;
  readonly serverDevice: FragileDevice;
  readonly clientDevice: FragileDevice;
  /** Why connections ended at the server. */
  readonly ended: (RdmaError | undefined)[];
}

/** Two devices that refuse what the test wants; the server takes all messages. */
async function startRig(): Promise<Rig> {
  const serverDevice = await FragileDevice.open(FREE_DEVICE);
  const clientDevice = await FragileDevice.open(FREE_DEVICE);
  const ended: (RdmaError | undefined)[] = [];
  const server = await startServer(
    async (connection) => {
      void connection.closed.then((error) => ended.push(error));
      while ((await connection.receive()) !== undefined);
    },
    { device: serverDevice.device, bufferBytes: 64 },
  );
  server.on('handlerError', () => {});
  const client = await connectTo(server, { device: clientDevice.device });
  await client.send(Buffer.from('before'));
  return {
    server,
    client,
    serverDevice,
    clientDevice,
    ended,
    async [Symbol.asyncDispose]() {
      await within(client.close(), PATIENCE_MILLIS);
      await within(serverIsEmpty(server), PATIENCE_MILLIS);
      await server.close();
      for (const device of [serverDevice, clientDevice]) await device.closeEmpty();
    },
  };
}

const full = new RdmaError('ERR_RDMA_QUEUE_FULL', 'the queue holds 16 requests already');

for (const [what, refusal, code] of [
  ['for a mistake of this package', full, 'ERR_RDMA_INTERNAL'],
  [
    'for a reason of its own',
    new RdmaError('ERR_RDMA_NO_MEMORY', 'there is no memory'),
    'ERR_RDMA_NO_MEMORY',
  ],
] as const)
  test(`a message that the device refuses ${what} ends the connection with it`, async () => {
    await using rig = await startRig();
    const { client, clientDevice } = rig;
    clientDevice.refusalOfSend = () => refusal;
    await assert.rejects(within(client.send('refused'), PATIENCE_MILLIS), {
      code: 'ERR_RDMA_OUTCOME_UNKNOWN',
    });
    const error = await client.closed;
    assert.equal(error?.code, code);
    assert.equal(code === 'ERR_RDMA_INTERNAL' ? error?.cause : error, refusal);
  });

test('a device that is closed with its connections ends them at the next message', async () => {
  await using rig = await startRig();
  const { client, clientDevice } = rig;
  await clientDevice.device.close({ force: true });
  await assert.rejects(within(client.send('late'), PATIENCE_MILLIS), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  assert.equal((await client.closed)?.code, 'ERR_RDMA_CLOSED');
});

test('a device that is closed with its connections refuses reads and writes at once', async () => {
  await using rig = await startRig();
  const { client, clientDevice } = rig;
  const lent = client.remoteBuffer ?? assert.fail('nothing is lent');
  await clientDevice.device.close({ force: true });
  for (const operation of [client.write(lent, Buffer.from('late')), client.read(lent).then(() => {})])
    await assert.rejects(within(operation, PATIENCE_MILLIS), { code: 'ERR_RDMA_CLOSED' });
  await assert.rejects(within(client.send('late'), PATIENCE_MILLIS), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
});

for (const [what, isRefused] of [
  ['that a fragment has used up', () => true],
  ['of new memory', ({ wrId }: ReceiveWorkRequest) => wrId >= PLACES_OF_A_BLOCK],
] as const)
  test(`a receive ${what}, refused by the device, ends the connection with the reason`, async () => {
    await using rig = await startRig();
    const { server, client, serverDevice, ended } = rig;
    serverDevice.refusalOfReceive = (request) => (isRefused(request) ? full : undefined);
    const sends = Array.from({ length: MANY_MESSAGES }, () => client.send(Buffer.alloc(1000)));
    await within(Promise.allSettled([client.closed, ...sends]), PATIENCE_MILLIS);
    await within(serverIsEmpty(server), PATIENCE_MILLIS);
    assert.deepEqual(
      ended.map((error) => [error?.code, error?.cause]),
      [['ERR_RDMA_INTERNAL', full]],
    );
  });
