/** Requests and the programs that answer them: late, twice, with a queue pair that is taken, or not at all. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import type { CmIncoming } from '../../src/cm/cm-server.js';
import { connect } from '../../src/cm/connect.js';
import { RequestServer } from '../../src/cm/request-server.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { CmPair, closeEnds, soon } from '../../testkit/cm-pair.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A request whose client has given up. */
async function goneRequest(pair: CmPair): Promise<CmIncoming> {
  const end = await pair.openEnd(pair.client);
  const aborting = new AbortController();
  const connecting = connect(pair.client, { ...pair.to, qp: end, signal: aborting.signal });
  const request = await soon(pair.listener.next(), 'a request should come');
  assert.ok(request);
  aborting.abort();
  await assert.rejects(connecting, { code: 'ERR_RDMA_ABORTED' });
  while (!request.isGone) await turn();
  await end.close();
  return request;
}

test('a queue pair that is offered to a client who has gone stays as it was, and serves the next one', async () => {
  await using pair = await CmPair.open();
  const gone = await goneRequest(pair);
  const serverEnd = await pair.openEnd(pair.server);
  const before = serverEnd.qp.state;
  await assert.rejects(gone.accept({ qp: serverEnd }), { code: 'ERR_RDMA_CONNECTION_LOST' });
  assert.equal(serverEnd.qp.state, before);
  const clientEnd = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: clientEnd });
  const request = await soon(pair.listener.next(), 'the next request should come');
  const [client, server] = await Promise.all([connecting, request?.accept({ qp: serverEnd })]);
  assert.ok(client !== undefined && server !== undefined);
  assert.equal(serverEnd.qp.state, QpState.RTS);
  await closeEnds({ clientEnd, serverEnd } as never);
});

test('a request that the program took and never answered is forgotten when its client gives up', async () => {
  await using pair = await CmPair.open();
  await goneRequest(pair);
  assert.equal(pair.server.census().cmIds, 1, 'the listener alone');
});

test('a request whose client gives up while it waits goes to nobody', async () => {
  await using pair = await CmPair.open();
  const end = await pair.openEnd(pair.client);
  const ask = (text: string, signal?: AbortSignal) =>
    connect(pair.client, {
      ...pair.to,
      qp: end,
      privateData: Buffer.from(text),
      ...(signal === undefined ? {} : { signal }),
    }).catch((reason: RdmaError) => reason.code);
  const aborting = new AbortController();
  const first = ask('first', aborting.signal);
  while (pair.server.census().cmIds < 2) await turn();
  aborting.abort();
  assert.equal(await first, 'ERR_RDMA_ABORTED');
  while (pair.server.census().cmIds > 1) await turn();
  const second = ask('other');
  const request = await soon(pair.listener.next(), 'the second request should come');
  assert.equal(Buffer.from(request?.privateData.subarray(0, 5) ?? []).toString(), 'other');
  await request?.reject();
  assert.equal(await second, 'ERR_RDMA_REJECTED');
  await end.close();
});

test('a queue pair is in one meeting at a time, and the one that has it does not notice the other', async () => {
  await using pair = await CmPair.open();
  const clientEnd = await pair.openEnd(pair.client);
  const asking = { ...pair.to, qp: clientEnd };
  const [first, second] = [connect(pair.client, asking), connect(pair.client, asking)];
  await assert.rejects(second, { code: 'ERR_RDMA_IN_USE', message: /take one queue pair for every/ });
  const request = await soon(pair.listener.next(), 'the request of the first should come');
  const serverEnd = await pair.openEnd(pair.server);
  const otherEnd = await pair.openEnd(pair.client);
  const other = connect(pair.client, { ...pair.to, qp: otherEnd });
  const otherRequest = await soon(pair.listener.next(), 'another client should come');
  const accepting = request?.accept({ qp: serverEnd });
  await assert.rejects(otherRequest?.accept({ qp: serverEnd }) as Promise<unknown>, {
    code: 'ERR_RDMA_IN_USE',
  });
  await soon(Promise.all([first, accepting]), 'the first should be connected');
  assert.deepEqual([clientEnd.qp.state, serverEnd.qp.state], [QpState.RTS, QpState.RTS]);
  await otherRequest?.reject();
  await assert.rejects(other, { code: 'ERR_RDMA_REJECTED' });
  // Of a meeting that failed nothing stays: the queue pair may try again.
  await assert.rejects(connect(pair.client, { ...pair.to, qp: otherEnd, port: 1 }), {
    code: 'ERR_RDMA_REJECTED',
  });
  for (const end of [clientEnd, serverEnd, otherEnd]) await end.close();
});

test('who gives up the wait for a request takes none away from the next', async () => {
  await using pair = await CmPair.open();
  const aborting = new AbortController();
  const given = pair.listener.next({ signal: aborting.signal });
  const staying = pair.listener.next();
  aborting.abort(new Error('enough'));
  const error = await given.catch((reason: RdmaError) => reason);
  assert.ok(error instanceof Error && 'code' in error);
  assert.deepEqual([error.code, (error.cause as Error).message], ['ERR_RDMA_ABORTED', 'enough']);
  await assert.rejects(pair.listener.next({ signal: AbortSignal.abort() }), { code: 'ERR_RDMA_ABORTED' });
  const end = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: end });
  const request = await soon(staying, 'who still waits should get the request');
  await request?.reject();
  await assert.rejects(connecting, { code: 'ERR_RDMA_REJECTED' });
  const { signal } = new AbortController();
  const last = pair.listener.next({ signal });
  await pair.listener.close();
  assert.equal(await soon(last, 'there is no next one'), undefined);
  assert.equal(getEventListeners(signal, 'abort').length, 0, 'nothing stays at the signal');
  await end.close();
});

test('an accept that is given up tells the client no, and one that was given up before leaves the request', async () => {
  await using pair = await CmPair.open();
  const clientEnd = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: clientEnd }).catch((reason: RdmaError) => reason);
  const request = await soon(pair.listener.next(), 'a request should come');
  assert.ok(request);
  const [early, late] = [await pair.openEnd(pair.server), await pair.openEnd(pair.server)];
  await assert.rejects(request.accept({ qp: early, signal: AbortSignal.abort() }), {
    code: 'ERR_RDMA_ABORTED',
  });
  const aborting = new AbortController();
  const accepting = request.accept({ qp: late, signal: aborting.signal });
  aborting.abort();
  await assert.rejects(accepting, { code: 'ERR_RDMA_ABORTED' });
  assert.ok((await soon(connecting, 'the client should be told')) instanceof Error);
  assert.equal(pair.server.census().cmIds, 1, 'the listener alone');
  assert.equal(getEventListeners(aborting.signal, 'abort').length, 0, 'nothing stays at the signal');
  for (const end of [clientEnd, early, late]) await end.close();
});

test('a reason that clients ignore is refused, and the request can be answered after that', async () => {
  await using pair = await CmPair.open();
  const end = await pair.openEnd(pair.client);
  const connecting = connect(pair.client, { ...pair.to, qp: end });
  const request = await soon(pair.listener.next(), 'a request should come');
  await assert.rejects(request?.reject({ reason: 4 }) as Promise<void>, {
    code: 'ERR_RDMA_INVALID_ARGUMENT',
    message: /reason must not be 4, .* which clients ignore/,
  });
  await request?.reject({ reason: 3 });
  await assert.rejects(connecting, { code: 'ERR_RDMA_REJECTED', message: /it lacks resources/ });
  await end.close();
});

test('a server is closed when every request that nobody took is back, though its listener ends before', async () => {
  let giveBack = (): void => {};
  const back = new Promise<void>((resolve) => {
    giveBack = resolve;
  });
  const server = new RequestServer<{ abandon(): Promise<void>; watch(): void }>(4);
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const close = async (): Promise<void> => {
    end();
    await turn();
  };
  server.open({ address: { host: '127.0.0.1', port: 1 }, ended, close });
  server.offer({ abandon: () => back, watch: () => {} });
  const closing = server.close().then(() => 'closed');
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.equal(await Promise.race([closing, turn().then(() => 'still at it')]), 'still at it');
  giveBack();
  assert.equal(await closing, 'closed');
});
