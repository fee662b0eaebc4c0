/** Two soft devices of one host meet by rdma_cm: what each learns of the other, and that data goes over the connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen } from '../../src/cm/cm-server.js';
import { connect, connectEndpoint } from '../../src/cm/connect.js';
import type { Endpoint } from '../../src/endpoint/endpoint.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { CLIENT_HOST, CmPair, closeEnds, exchange, SERVER_HOST } from '../../testkit/cm-pair.js';
import { pattern } from '../../testkit/craft-packet.js';

const text = (bytes: Uint8Array, length: number): string => Buffer.from(bytes.subarray(0, length)).toString();

const KINDS: readonly [string, string, string][] = [
  ['the usual port over IPv4', `soft:${CLIENT_HOST}`, `soft:${SERVER_HOST}`],
  ['node:dgram over IPv4', `soft:${CLIENT_HOST}?io=dgram`, `soft:${SERVER_HOST}?io=dgram`],
  ['the usual port over IPv6', 'soft:::1?port=0', 'soft:::1?port=0'],
  ['node:dgram over IPv6', 'soft:::1?port=0&io=dgram', 'soft:::1?port=0&io=dgram'],
];

for (const [what, clientDevice, serverDevice] of KINDS) {
  test(`a connection carries messages both ways and ends at both ends: ${what}`, async () => {
    await using pair = await CmPair.open({ clientDevice, serverDevice });
    const met = await pair.meet(
      { privateData: Buffer.from('hello') },
      { privateData: Buffer.from('welcome') },
    );
    const { client, server, clientEnd, serverEnd, request } = met;
    assert.equal(text(request.privateData, 5), 'hello');
    assert.equal(text(client.privateData, 7), 'welcome');
    assert.deepEqual([request.privateData.length, client.privateData.length], [56, 196]);
    assert.deepEqual(client.remote, pair.listener.address);
    assert.deepEqual(server.remote, client.local);
    assert.deepEqual([server.peer.qpn, client.peer.qpn], [client.qp.qpn, server.qp.qpn]);
    assert.deepEqual([client.qp.state, server.qp.state], [QpState.RTS, QpState.RTS]);
    const bytes = pattern(1000);
    assert.deepEqual(await exchange(clientEnd, serverEnd, bytes), bytes);
    assert.deepEqual(await exchange(serverEnd, clientEnd, bytes), bytes);
    assert.deepEqual(await client.disconnect(), { type: 'disconnected', byPeer: false, answered: true });
    assert.deepEqual(await server.ended, { type: 'disconnected', byPeer: true, answered: true });
    assert.deepEqual([client.qp.state, server.qp.state], [QpState.ERR, QpState.ERR]);
    assert.equal(pair.client.census().cmIds, 0);
    assert.equal(pair.server.census().cmIds, 1, 'the listener');
    await closeEnds(met);
  });
}

test('both queue pairs come up as the messages agreed', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet(
    {
      responderResources: 7,
      initiatorDepth: 9,
      retryCount: 5,
      rnrRetryCount: 4,
      trafficClass: 0x68,
      ackTimeout: 15,
    },
    { responderResources: 3, initiatorDepth: 5, rnrRetryCount: 6 },
  );
  const [client, server] = [await met.client.qp.query(), await met.server.qp.query()];
  assert.deepEqual([client.maxRdAtomic, client.maxDestRdAtomic], [3, 5]);
  assert.deepEqual([server.maxRdAtomic, server.maxDestRdAtomic], [5, 3]);
  assert.deepEqual([client.retryCount, server.retryCount], [5, 5]);
  assert.deepEqual([client.rnrRetry, server.rnrRetry], [6, 4]);
  assert.equal(client.timeout, 15);
  assert.deepEqual([client.sqPsn, client.rqPsn], [server.rqPsn, server.sqPsn]);
  assert.notEqual(client.sqPsn, client.rqPsn);
  assert.deepEqual([client.av?.trafficClass, server.av?.trafficClass], [0x68, 0x68]);
  assert.equal(client.av?.flowLabel, server.av?.flowLabel);
  assert.deepEqual(met.client.depths, { responderResources: 7, initiatorDepth: 9 });
  assert.deepEqual(met.server.depths, { responderResources: 3, initiatorDepth: 5 });
  const { responderResources, initiatorDepth } = met.client.peer;
  assert.deepEqual([responderResources, initiatorDepth], [3, 5]);
  await closeEnds(met);
});

test('depths above those of the device become its own, and are told so', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet(
    { responderResources: 255, initiatorDepth: 255 },
    { responderResources: 255, initiatorDepth: 255 },
  );
  const most = { responderResources: 128, initiatorDepth: 128 };
  assert.deepEqual([met.client.depths, met.server.depths], [most, most]);
  assert.equal(met.server.peer.initiatorDepth, 128);
  await closeEnds(met);
});

test('a server has no more READs under way than its client can hold', async () => {
  await using pair = await CmPair.open();
  const met = await pair.meet({ responderResources: 0, initiatorDepth: 0 }, { initiatorDepth: 9 });
  assert.deepEqual(met.server.depths, { responderResources: 0, initiatorDepth: 0 });
  const server = await met.server.qp.query();
  assert.deepEqual([server.maxRdAtomic, server.maxDestRdAtomic], [0, 0]);
  await closeEnds(met);
});

test('a bare queue pair in RESET gets every remote right, one in INIT keeps its own', async () => {
  await using pair = await CmPair.open();
  for (const isInit of [false, true]) {
    const end = await pair.openEnd(pair.client);
    const bare = await end.pd.createQp({ sendCq: end.sendCq, recvCq: end.recvCq });
    if (isInit) {
      await bare.modify({
        state: QpState.INIT,
        pkeyIndex: 0,
        port: 1,
        accessFlags: AccessFlags.REMOTE_WRITE,
      });
    }
    const serverEnd = await pair.openEnd(pair.server);
    const connecting = connect(pair.client, { ...pair.to, qp: bare });
    const request = await pair.listener.next();
    const [connection] = await Promise.all([connecting, request?.accept({ qp: serverEnd })]);
    const { REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC } = AccessFlags;
    const { accessFlags } = await bare.query();
    assert.equal(accessFlags, isInit ? REMOTE_WRITE : REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC);
    await connection.disconnect();
    await bare.close();
    await end.close();
    await serverEnd.close();
  }
});

test('memory of an endpoint is written by the peer as the endpoint allows it', async () => {
  const { REMOTE_WRITE } = AccessFlags;
  await using pair = await CmPair.open({ endpoint: { memory: 4096, access: REMOTE_WRITE } });
  const met = await pair.meet();
  const { clientEnd, serverEnd } = met;
  const target = serverEnd.memory;
  clientEnd.memory.bytes.fill(0x5a, 0, 100);
  clientEnd.qp.postSend({
    wrId: 3,
    opcode: WrOpcode.RDMA_WRITE,
    flags: 2,
    sges: [{ mr: clientEnd.memory, length: 100 }],
    remoteAddr: target.addr,
    rkey: target.rkey,
  });
  await clientEnd.until(
    () => target.bytes[99] === 0x5a,
    () => {},
  );
  assert.deepEqual(target.bytes.slice(0, 100), new Uint8Array(100).fill(0x5a));
  await closeEnds(met);
});

test('connectEndpoint opens, connects, and closing the endpoint ends the connection', async () => {
  await using pair = await CmPair.open();
  const serverEnd = await pair.openEnd(pair.server);
  const connecting = connectEndpoint(pair.client, { ...pair.to, endpoint: { memory: 4096 } });
  const request = await pair.listener.next();
  const [{ endpoint, connection }, server] = await Promise.all([
    connecting,
    request?.accept({ qp: serverEnd }),
  ]);
  const bytes = pattern(64);
  assert.deepEqual(await exchange(endpoint, serverEnd, bytes), bytes);
  await endpoint.close();
  assert.deepEqual(await connection.ended, { type: 'disconnected', byPeer: false, answered: true });
  assert.deepEqual(await server?.ended, { type: 'disconnected', byPeer: true, answered: true });
  await serverEnd.close();
});

test('a name is looked up, and the address of the family of the device is taken', async () => {
  await using pair = await CmPair.open({ serverDevice: 'soft:127.0.0.1?port=0' });
  const met = await pair.meet({ host: 'localhost' });
  assert.equal(met.client.remote.host, '127.0.0.1');
  await closeEnds(met);
});

test('one device meets itself', async () => {
  await using pair = await CmPair.open();
  const ends = [await pair.openEnd(pair.server), await pair.openEnd(pair.server)] as const;
  const connecting = connect(pair.server, { ...pair.to, qp: ends[0] });
  const request = await pair.listener.next();
  const [client, server] = await Promise.all([connecting, request?.accept({ qp: ends[1] })]);
  const bytes = pattern(10);
  assert.deepEqual(await exchange(ends[0], ends[1], bytes), bytes);
  await Promise.all([client.disconnect(), server?.disconnect()]);
  for (const end of ends) await end.close();
});

test('a hundred clients at once are all served', async () => {
  await using pair = await CmPair.open({
    endpoint: { memory: 4096, capacity: { maxSendWr: 4, maxRecvWr: 4 } },
  });
  const accepting: Promise<unknown>[] = [];
  pair.listener.on('request', (request) => {
    const accept = async (): Promise<void> => {
      const end = await pair.openEnd(pair.server);
      const connection = await request.accept({ qp: end, privateData: request.privateData.slice(0, 2) });
      await connection.ended;
      await end.close();
    };
    accepting.push(accept());
  });
  await Promise.all(
    Array.from({ length: 100 }, async (_, number) => {
      const { endpoint, connection } = await connectEndpoint(pair.client, {
        ...pair.to,
        privateData: Uint8Array.of(number, 7),
      });
      assert.deepEqual([...connection.privateData.subarray(0, 2)], [number, 7]);
      await endpoint.close();
    }),
  );
  await Promise.all(accepting);
  assert.equal(accepting.length, 100);
  assert.equal(pair.server.census().qps, 0);
  assert.equal(pair.client.census().cmIds, 0);
});

test('two programs that ask each other at once get two connections', async () => {
  await using pair = await CmPair.open();
  await using other = await listen(pair.client);
  const back = { ...other.address, udpPort: (await pair.client.queryPort()).udpPort };
  const ends = await Promise.all(
    [pair.client, pair.server, pair.server, pair.client].map((device) => pair.openEnd(device)),
  );
  const [asksThere, answersThere, asksBack, answersBack] = ends as [Endpoint, Endpoint, Endpoint, Endpoint];
  const connections = await Promise.all([
    connect(pair.client, { ...pair.to, qp: asksThere }),
    connect(pair.server, { ...back, qp: asksBack }),
    pair.listener.next().then((request) => request?.accept({ qp: answersThere })),
    other.next().then((request) => request?.accept({ qp: answersBack })),
  ]);
  const bytes = pattern(77);
  assert.deepEqual(await exchange(asksThere, answersThere, bytes), bytes);
  assert.deepEqual(await exchange(answersBack, asksBack, bytes), bytes);
  await Promise.all(connections.map((connection) => connection?.disconnect()));
  for (const end of ends) await end.close();
});
