/** How connections of rdma_cm end, also when messages of theirs are lost, and that nothing of them stays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CmConnection } from '../../src/cm/cm-connection.js';
import { type CmServer, listen } from '../../src/cm/cm-server.js';
import { connect } from '../../src/cm/connect.js';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { CmAttribute } from '../../src/roce/cm/wire/attributes.js';
import type { Device } from '../../src/verbs/device.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { statusName, WorkCompletion } from '../../src/verbs/work-completion.js';
import { CLIENT_HOST, CmPair, closeEnds, exchange, SERVER_HOST, soon } from '../../testkit/cm-pair.js';
import { pattern } from '../../testkit/craft-packet.js';
import { openLosingDevice } from '../../testkit/gmp-sieve.js';

interface LossyPair {
  readonly client: CmConnection;
  readonly server: CmConnection;
  readonly clientEnd: Endpoint;
  readonly serverEnd: Endpoint;
}

type Lost = (attribute: number, number: number) => boolean;

/** Two devices that lose messages by attribute; `number` counts those of the attribute, from 1. */
async function withLoss(
  lost: { readonly atClient?: Lost; readonly atServer?: Lost },
  run: (pair: LossyPair) => Promise<void>,
  options: { readonly sendsAtOnce?: boolean } = {},
): Promise<void> {
  const open = (host: string, loses: Lost = () => false) => {
    const counts = new Map<number, number>();
    return openLosingDevice(`soft:${host}`, (attribute) => {
      const number = (counts.get(attribute) ?? 0) + 1;
      counts.set(attribute, number);
      return loses(attribute, number);
    });
  };
  const clientDevice = await open(CLIENT_HOST, lost.atClient);
  const serverDevice = await open(SERVER_HOST, lost.atServer);
  const listener = await listen(serverDevice);
  const clientEnd = await openEnd(clientDevice);
  const serverEnd = await openEnd(serverDevice);
  const { udpPort } = await serverDevice.queryPort();
  const connecting = connect(clientDevice, { ...listener.address, udpPort, qp: clientEnd });
  const accepting = acceptNext(listener, serverEnd);
  const client = await soon(connecting, 'the client should be connected');
  if (options.sendsAtOnce === true) {
    const bytes = pattern(16);
    assert.deepEqual(await exchange(clientEnd, serverEnd, bytes), bytes);
  }
  const server = await soon(accepting, 'the server should be connected');
  await run({ client, server, clientEnd, serverEnd });
  await clientEnd.close();
  await serverEnd.close();
  await listener.close();
  for (const device of [clientDevice, serverDevice]) {
    assert.deepEqual(new Set(Object.values(device.census())), new Set([0]));
    await device.close();
  }
}

async function openEnd(device: Device): Promise<Endpoint> {
  const end = await openEndpoint(device, { memory: 4096 });
  end.qp.postRecv({ wrId: 0, sges: [{ mr: end.memory }] });
  return end;
}

async function acceptNext(listener: CmServer, qp: Endpoint): Promise<CmConnection> {
  const connection = await (await listener.next())?.accept({ qp });
  assert.ok(connection instanceof CmConnection);
  return connection;
}

const ENDED = [
  { type: 'disconnected', byPeer: false, answered: true },
  { type: 'disconnected', byPeer: true, answered: true },
];

const { REQ, REP, RTU, DREQ, DREP } = CmAttribute;
const LOSSES: readonly [string, { readonly atClient?: Lost; readonly atServer?: Lost }][] = [
  ['first REQ', { atServer: (attribute, number) => attribute === REQ && number === 1 }],
  ['first REP', { atClient: (attribute, number) => attribute === REP && number === 1 }],
  ['first RTU', { atServer: (attribute, number) => attribute === RTU && number === 1 }],
  ['first DREQ', { atServer: (attribute, number) => attribute === DREQ && number === 1 }],
  ['first DREP', { atClient: (attribute, number) => attribute === DREP && number === 1 }],
];

for (const [what, losses] of LOSSES) {
  test(`a connection comes up and ends in order though the ${what} is lost`, () =>
    withLoss(losses, async ({ client, server, clientEnd, serverEnd }) => {
      const bytes = pattern(100);
      assert.deepEqual(await exchange(clientEnd, serverEnd, bytes), bytes);
      assert.deepEqual([await client.disconnect(), await server.ended], ENDED);
    }));
}

test('where every RTU is lost, the first packet of the client tells the server that it is ready', () =>
  withLoss(
    { atServer: (attribute) => attribute === RTU },
    async ({ client, server }) => {
      assert.deepEqual([await server.disconnect(), await client.ended], ENDED);
    },
    { sendsAtOnce: true },
  ));

test('a peer that answers no DREQ is forgotten after five seconds', () =>
  withLoss({ atServer: (attribute) => attribute === DREQ }, async ({ client, server }) => {
    const began = performance.now();
    assert.deepEqual(await client.disconnect(), { type: 'disconnected', byPeer: false, answered: false });
    assert.ok(performance.now() - began < 9_000);
    assert.deepEqual((await server.disconnect()).type, 'disconnected');
  }));

test('both ends disconnect at once', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  const [client, server] = await Promise.all([met.client.disconnect(), met.server.disconnect()]);
  assert.deepEqual([client.type, server.type], ['disconnected', 'disconnected']);
  assert.deepEqual(await met.client.disconnect(), client, 'a second call tells the same');
  await closeEnds(met);
  assert.deepEqual([pair.client.census().cmIds, pair.server.census().cmIds], [0, 1]);
});

test('what is posted flushes when the peer disconnects', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  met.clientEnd.qp.postRecv({ wrId: 5, sges: [{ mr: met.clientEnd.memory }] });
  await met.server.disconnect();
  await met.client.ended;
  const found = [new WorkCompletion(), new WorkCompletion()];
  assert.equal(await met.clientEnd.take(found), 2);
  assert.deepEqual(
    found.map(({ wrId, status }) => `${wrId}:${statusName(status)}`),
    ['0:WR_FLUSH_ERR', '5:WR_FLUSH_ERR'],
  );
  await closeEnds(met);
});

test('a connection whose queue pair its owner has closed can still be ended', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  await met.clientEnd.close();
  assert.equal((await met.client.disconnect()).type, 'disconnected');
  await met.server.ended;
  await met.serverEnd.close();
});

test('a device is not closed over a connection; by force it is, and both ends are told', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  await met.clientEnd.close();
  await assert.rejects(pair.client.close(), { code: 'ERR_RDMA_IN_USE', message: /1 cmIds/ });
  await pair.client.close({ force: true });
  const ending = await soon(met.client.ended, 'the client should be told');
  assert.deepEqual([ending.type, 'code' in ending && ending.code], ['failed', 'ERR_RDMA_CLOSED']);
  assert.deepEqual(await soon(met.server.ended, 'the server should be told'), ENDED[1]);
  assert.equal(met.server.qp.state, QpState.ERR);
  await met.serverEnd.close();
});

test('a device that is closed by force ends its listeners, requests and meetings', async () => {
  await using pair = await CmPair.open();
  const end = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: end });
  const request = await pair.listener.next();
  const nextOne = pair.listener.next();
  const silent = connect(pair.client, {
    ...pair.to,
    host: '127.0.0.99',
    qp: await pair.openEnd(pair.client),
  });
  const outcomes = Promise.allSettled([connecting, silent]);
  await pair.server.close({ force: true });
  assert.equal(await soon(nextOne, 'who waits for a request should be told'), undefined);
  assert.equal(request?.isGone, true);
  assert.equal(await Promise.race([connecting.catch((error) => error.rejection?.reason)]), 28);
  await pair.client.close({ force: true });
  const [, second] = await soon(outcomes, 'who connects should be told');
  assert.equal(second?.status === 'rejected' && second.reason.code, 'ERR_RDMA_CLOSED');
});

test('await using ends a connection', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  {
    await using connection = met.client;
    assert.equal(connection.qp.state, QpState.RTS);
  }
  assert.deepEqual(await met.server.ended, ENDED[1]);
  await closeEnds(met);
});
