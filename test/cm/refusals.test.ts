/** Meetings that lead to nothing: each tells why in one sentence, and leaves the queue pair and the device as they were. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen } from '../../src/cm/cm-server.js';
import { connect } from '../../src/cm/connect.js';
import type { CmConnectOptions } from '../../src/cm/options.js';
import { openDevice } from '../../src/open-device.js';
import { CmAttribute } from '../../src/roce/cm/wire/attributes.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { CLIENT_HOST, CmPair, closeEnds, SERVER_HOST, soon } from '../../testkit/cm-pair.js';
import { openLosingDevice } from '../../testkit/gmp-sieve.js';

async function failure(promise: Promise<unknown>): Promise<RdmaError> {
  try {
    await soon(promise, 'it should fail');
  } catch (error) {
    return error as RdmaError;
  }
  return assert.fail('it must fail');
}

/** Tries to connect an endpoint, which must fail and stay usable. */
async function refused(pair: CmPair, options: Partial<CmConnectOptions> = {}): Promise<RdmaError> {
  const end = await pair.openEnd(pair.client);
  const error = await failure(connect(pair.client, { ...pair.to, qp: end, ...options }));
  assert.equal(end.qp.state, QpState.INIT);
  await end.close();
  assert.equal(pair.client.census().cmIds, 0);
  return error;
}

test('where nobody listens, the error names port and host, and says that it is no TCP port', async () => {
  await using pair = await CmPair.open({ listen: { port: 7174 } });
  const error = await refused(pair, { port: 7175 });
  assert.equal(error.code, 'ERR_RDMA_REJECTED');
  assert.equal(
    error.message,
    `nobody listens on port 7175 of rdma_cm at ${SERVER_HOST} (this is not a TCP port): start the server there, or name its port`,
  );
  assert.deepEqual([error.rejection?.reason, error.rejection?.name], [8, 'invalid-service-id']);
});

test('a program that says no is heard with its reason and private data', async () => {
  await using pair = await CmPair.open();
  const refusing = (async () => {
    const request = await pair.listener.next();
    await request?.reject({ reason: 28, privateData: Buffer.from('go-away') });
    await assert.rejects(request?.reject() as Promise<void>, { message: /answered already/ });
    const again = await pair.listener.next();
    await again?.reject();
    const other = await pair.listener.next();
    await other?.reject({ reason: 3 });
  })();
  const [first, second, third] = [await refused(pair), await refused(pair), await refused(pair)];
  await refusing;
  assert.deepEqual([first.rejection?.reason, first.rejection?.name], [28, 'consumer']);
  assert.equal(Buffer.from(first.rejection?.privateData.subarray(0, 7) ?? []).toString(), 'go-away');
  assert.equal(first.rejection?.privateData.length, 148);
  assert.match(
    first.message,
    /rejected the connection: its program said no; error\.rejection\.privateData says why/,
  );
  assert.match(second.message, /it gave no reason/);
  assert.match(third.message, /it lacks resources; try again later/);
  assert.equal(pair.server.census().cmIds, 1);
});

test('a server that closes rejects requests that nobody took', async () => {
  await using pair = await CmPair.open();
  const refusing = refused(pair);
  while (pair.server.census().cmIds < 2) await new Promise((resolve) => setImmediate(resolve));
  await pair.listener.close();
  assert.equal((await refusing).rejection?.reason, 28);
  assert.equal(await soon(pair.listener.next(), 'there is no next one'), undefined);
  assert.equal(pair.server.census().cmIds, 0);
});

test('a peer that does not answer is unreachable after the time given, and the error says what to check', async () => {
  await using pair = await CmPair.open();
  const error = await refused(pair, { host: '127.0.0.99', timeoutMillis: 80 });
  assert.equal(error.code, 'ERR_RDMA_UNREACHABLE');
  assert.match(error.message, /127\.0\.0\.99 did not answer within \d+ ms: check .* UDP port 4791/);
});

test('a program that does not answer its request in time leaves the client unreachable, and hears of it', async () => {
  await using pair = await CmPair.open();
  const taking = pair.listener.next();
  const error = await refused(pair, { timeoutMillis: 100 });
  assert.equal(error.code, 'ERR_RDMA_UNREACHABLE');
  const request = await taking;
  while (request?.isGone === false) await new Promise((resolve) => setImmediate(resolve));
  const end = await pair.openEnd(pair.server);
  const late = await failure(request?.accept({ qp: end }) as Promise<unknown>);
  assert.equal(late.code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(late.message, /has given up: answer sooner/);
  await end.close();
  assert.equal(pair.server.census().cmIds, 1);
});

test('an aborted connect tells the server, which forgets the request', async () => {
  await using pair = await CmPair.open();
  const aborting = new AbortController();
  const refusing = refused(pair, { signal: aborting.signal });
  while (pair.server.census().cmIds < 2) await new Promise((resolve) => setImmediate(resolve));
  const request = await pair.listener.next();
  aborting.abort(new Error('enough'));
  const error = await refusing;
  assert.equal(error.code, 'ERR_RDMA_ABORTED');
  assert.equal((error.cause as Error).message, 'enough');
  while (request?.isGone === false) await new Promise((resolve) => setImmediate(resolve));
  const end = await pair.openEnd(pair.server);
  assert.equal(
    (await failure(request?.accept({ qp: end }) as Promise<unknown>)).code,
    'ERR_RDMA_CONNECTION_LOST',
  );
  await end.close();
  assert.equal((await refused(pair, { signal: AbortSignal.abort() })).code, 'ERR_RDMA_ABORTED');
});

test('an address of another machine, a taken port and a host of the other family are refused with what to do', async () => {
  await using pair = await CmPair.open({ listen: { port: 7174 } });
  const foreign = await failure(listen(pair.server, { host: '192.0.2.1' }));
  assert.deepEqual(
    [foreign.code, foreign.message],
    [
      'ERR_RDMA_ADDRESS',
      `192.0.2.1 is no address of soft:${SERVER_HOST}; give the one that it has: ${SERVER_HOST}`,
    ],
  );
  const taken = await failure(listen(pair.server, { port: 7174 }));
  assert.equal(taken.code, 'ERR_RDMA_ADDRESS');
  assert.match(taken.message, /port 7174 of rdma_cm is taken .* close it or take another port/);
  const family = await refused(pair, { host: '::1' });
  assert.equal(family.code, 'ERR_RDMA_ADDRESS');
  assert.match(family.message, /the device has IPv4 addresses only/);
  const zone = await refused(pair, { host: 'fe80::1%lo' });
  assert.equal(zone.code, 'ERR_RDMA_ADDRESS');
  assert.match(zone.message, /fe80::1%lo has no address .* the device has IPv4 addresses only/);
  const foreignZone = await failure(listen(pair.server, { host: 'fe80::1%lo' }));
  assert.equal(
    foreignZone.message,
    `fe80::1%lo is no address of soft:${SERVER_HOST}; give the one that it has: ${SERVER_HOST}`,
  );
  const local = await refused(pair, { localHost: '127.0.0.77' });
  assert.equal(local.code, 'ERR_RDMA_ADDRESS');
  const name = await refused(pair, { host: 'no-such-host.invalid' });
  assert.equal(name.code, 'ERR_RDMA_ADDRESS');
  assert.match(name.message, /no-such-host\.invalid/);
  assert.equal((await listenAndClose(pair)).port, 7175);
});

async function listenAndClose(pair: CmPair): Promise<{ port: number }> {
  await using server = await listen(pair.server, { port: 7175, host: SERVER_HOST });
  return { ...server.address };
}

test('private data that is too long is refused before anything happens', async () => {
  await using pair = await CmPair.open();
  const error = await refused(pair, { privateData: new Uint8Array(57) });
  assert.equal(error.code, 'ERR_RDMA_INVALID_ARGUMENT');
  assert.equal(
    error.message,
    'privateData of connect has 56 bytes at most, not 57: send the rest over the connection',
  );
  const met = pair.meet({}, { privateData: new Uint8Array(197) });
  const tooLong = await failure(met);
  assert.match(tooLong.message, /accept has 196 bytes at most/);
});

test('a queue pair that is up already, of another type or another device is refused', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet();
  const used = await failure(connect(pair.client, { ...pair.to, qp: met.clientEnd }));
  assert.equal(used.code, 'ERR_RDMA_INVALID_STATE');
  assert.match(used.message, /must be in RESET or INIT, not in RTS/);
  const foreign = await failure(connect(pair.client, { ...pair.to, qp: met.serverEnd }));
  assert.match(foreign.message, /the endpoint is one of soft:127\.0\.0\.3/);
  const other = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: other });
  const request = await pair.listener.next();
  const twice = await failure(request?.accept({ qp: met.serverEnd }) as Promise<unknown>);
  assert.equal(twice.code, 'ERR_RDMA_INVALID_STATE');
  assert.equal(met.serverEnd.qp.state, QpState.RTS, 'the connection that it serves does not notice');
  const fresh = await pair.openEnd(pair.server);
  await Promise.all([request?.accept({ qp: fresh }), connecting]);
  await other.close();
  await fresh.close();
  await assert.rejects(connect(pair.client, { ...pair.to, qp: other }), { code: 'ERR_RDMA_CLOSED' });
  await closeEnds(met);
});

test('a client that vanishes between REP and RTU is told as one that is not heard', async () => {
  const silent = await openLosingDevice(`soft:${CLIENT_HOST}`, (attribute) => attribute === CmAttribute.REP);
  await using server = await openDevice(`soft:${SERVER_HOST}`);
  await using listener = await listen(server);
  const to = { ...listener.address, udpPort: (await server.queryPort()).udpPort };
  const pd = await silent.allocPd();
  const cq = await silent.createCq({ capacity: 8 });
  const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
  const connecting = failure(connect(silent, { ...to, qp, timeoutMillis: 300 }));
  const request = await listener.next();
  const serverPd = await server.allocPd();
  const serverCq = await server.createCq({ capacity: 8 });
  const serverQp = await serverPd.createQp({ sendCq: serverCq, recvCq: serverCq });
  const error = await failure(request?.accept({ qp: serverQp }) as Promise<unknown>);
  assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
  assert.equal((await connecting).code, 'ERR_RDMA_UNREACHABLE');
  await silent.close({ force: true });
  await server.close({ force: true });
});

test('clients that give up make room, and the queue of requests never grows beyond its backlog', async () => {
  await using pair = await CmPair.open({ listen: { backlog: 4 } });
  for (let round = 0; round < 30; round++) await refused(pair, { signal: AbortSignal.timeout(3) });
  const ids = (): number => pair.server.census().cmIds;
  for (let turn = 0; turn < 1000 && ids() > 1; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ids(), 1, 'the listener alone');
});

test('a listener on the address that stands for all takes clients', async () => {
  await using pair = await CmPair.open({ listen: { host: '0.0.0.0' } });
  assert.equal(pair.listener.address.host, SERVER_HOST);
  await closeEnds(await pair.meet());
});
