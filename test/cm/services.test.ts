/** What a client asks for and a server listens for: ports of both spaces for connections, and service IDs without rdma_cm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CmServer, listen } from '../../src/cm/cm-server.js';
import { connect, connectEndpoint } from '../../src/cm/connect.js';
import { listenUd } from '../../src/cm/datagram-service.js';
import type { CmServiceOptions } from '../../src/cm/options.js';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import type { Device } from '../../src/verbs/device.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { CmPair, closeEnds, exchange, SERVER_HOST } from '../../testkit/cm-pair.js';
import { pattern } from '../../testkit/craft-packet.js';

const SERVICE = 0x0002_c903_0042_1770n;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString().replace(/\0+$/, '');

for (const [device, other] of [
  ['IPv4', {}],
  ['IPv6', { clientDevice: 'soft:::1?port=0', serverDevice: 'soft:::1?port=0' }],
] as const) {
  test(`a connection in the port space ib carries messages as any other, over ${device}`, async () => {
    await using pair = await CmPair.open({ ...other, listen: { port: 7174, portSpace: 'ib' } });
    assert.equal(pair.listener.address.port, 7174);
    const met = await pair.meet({ portSpace: 'ib', privateData: Buffer.from('hello') });
    assert.deepEqual([text(met.request.privateData), met.request.privateData.length], ['hello', 56]);
    assert.equal(met.request.local.port, 7174);
    const bytes = pattern(500);
    assert.deepEqual(await exchange(met.clientEnd, met.serverEnd, bytes), bytes);
    await met.client.disconnect();
    await closeEnds(met);
  });

  test(`a service ID has neither port nor CMA header, and room for 92 bytes, over ${device}`, async () => {
    await using pair = await CmPair.open({ ...other, listen: { serviceId: SERVICE } });
    assert.equal(pair.listener.address.port, 0);
    const { port: _, ...to } = pair.to;
    const privateData = Buffer.alloc(92, 'x');
    const end = await pair.openEnd(pair.client);
    const connecting = connect(pair.client, { ...to, qp: end, serviceId: SERVICE, privateData });
    const request = await pair.listener.next();
    assert.deepEqual(Buffer.from(request?.privateData ?? []), privateData);
    assert.deepEqual([request?.local.port, request?.remote.port], [0, 0]);
    const serverEnd = await pair.openEnd(pair.server);
    const [client] = await Promise.all([connecting, request?.accept({ qp: serverEnd })]);
    const bytes = pattern(500);
    assert.deepEqual(await exchange(end, serverEnd, bytes), bytes);
    await client.disconnect();
    await end.close();
    await serverEnd.close();
  });
}

/** The sentence that a wish for this service gets. */
async function refusal(device: Device, service: CmServiceOptions & { port?: number }): Promise<string> {
  const asked = { host: SERVER_HOST, timeoutMillis: 2000, ...service };
  const error = await connectEndpoint(device, asked).catch((reason) => reason);
  return (error as Error).message;
}

test('a port of one space is not that of the other, and the error names the space', async () => {
  await using pair = await CmPair.open({ listen: { port: 7174 } });
  assert.equal(
    await refusal(pair.client, { port: 7174, portSpace: 'ib' }),
    `nobody listens on port 7174 of rdma_cm (RDMA_PS_IB) at ${SERVER_HOST} (this is not a TCP port): start the server there, or name its port`,
  );
  await using both = await listen(pair.server, { port: 7174, portSpace: 'ib' });
  assert.equal(both.address.port, 7174);
});

test('where nobody listens for a service ID, the error names it', async () => {
  await using pair = await CmPair.open();
  assert.equal(
    await refusal(pair.client, { serviceId: SERVICE }),
    `nobody listens for service ID 0x2c90300421770 at ${SERVER_HOST}: start the server there, or give its service ID`,
  );
});

test('a service ID is taken by one listener at a time, and free again when that closes', async () => {
  await using pair = await CmPair.open();
  const open = (): Promise<CmServer> => listen(pair.server, { serviceId: SERVICE });
  const first = await open();
  await assert.rejects(open(), ({ code, message, cause }: RdmaError) => {
    assert.equal(code, 'ERR_RDMA_ADDRESS');
    assert.match(
      message,
      /^service ID 0x2c90300421770 is taken by another listener of .*: close it or take another one$/,
    );
    assert.equal((cause as NodeJS.ErrnoException).code, 'EADDRINUSE');
    return true;
  });
  await first.close();
  await (await open()).close();
});

test('a listener that was refused leaves its service free', async () => {
  await using pair = await CmPair.open();
  await assert.rejects(listen(pair.server, { serviceId: SERVICE, host: '192.0.2.9' }), {
    code: 'ERR_RDMA_ADDRESS',
  });
  await (await listen(pair.server, { serviceId: SERVICE })).close();
});

test('a service is named in one way, and each mistake gets a sentence', async () => {
  await using pair = await CmPair.open();
  const cases: readonly [CmServiceOptions & { port?: number }, string][] = [
    [{}, 'connectEndpoint needs port: the port of rdma_cm that the peer listens on, which is no TCP port'],
    [
      { port: 1, serviceId: SERVICE },
      'connectEndpoint takes a serviceId in place of port and portSpace: leave one of them out',
    ],
    [
      { portSpace: 'ib', serviceId: SERVICE },
      'connectEndpoint takes a serviceId in place of port and portSpace: leave one of them out',
    ],
    [
      { serviceId: 0x013f_1c06n },
      "this serviceId is that of port 7174 of rdma_cm: give port and portSpace 'ib'",
    ],
    [
      { serviceId: 0x0106_1c06n },
      "this serviceId is that of port 7174 of rdma_cm: give port and portSpace 'tcp'",
    ],
    [
      { serviceId: 0x0111_1c06n },
      'this serviceId is that of port 7174 of rdma_cm: resolveUd and listenUd are for those',
    ],
    [{ serviceId: 1n << 64n }, 'serviceId must be a bigint of 64 bits, not a bigint'],
    [{ port: 7, portSpace: 'udp' as never }, "portSpace must be 'tcp' or 'ib', not this text"],
  ];
  for (const [service, message] of cases) assert.equal(await refusal(pair.client, service), message);
  await assert.rejects(listen(pair.server, { port: 0, serviceId: SERVICE }), { message: /in place of port/ });
  await assert.rejects(listenUd(pair.server, { serviceId: SERVICE } as never), {
    message: /there is no option serviceId/,
  });
  const end = await pair.openEnd(pair.client);
  const long = { host: SERVER_HOST, serviceId: SERVICE, qp: end, privateData: Buffer.alloc(93) };
  await assert.rejects(connect(pair.client, long), { message: /has 92 bytes at most, not 93/ });
  await end.close();
});

test('each end says whether its queue pair takes its receives from a shared queue', async () => {
  await using pair = await CmPair.open();
  for (const isShared of [true, false]) {
    const end = await pair.openEnd(pair.client);
    const srq = await end.pd.createSrq({ maxWr: 4 });
    const withQueue = await openEndpoint(pair.client, isShared ? { pd: end.pd, srq } : {});
    const serverEnd = await pair.openEnd(pair.server);
    const serverQueue = await serverEnd.pd.createSrq({ maxWr: 4 });
    const { sendCq, recvCq, pd } = serverEnd;
    const serverQp = await pd.createQp({ sendCq, recvCq, ...(isShared ? { srq: serverQueue } : {}) });
    assert.equal(serverQp.srq, isShared ? serverQueue : null);
    const connecting = connect(pair.client, { ...pair.to, qp: withQueue });
    const request = await pair.listener.next();
    assert.equal(request?.peer.srq, isShared);
    const [client, server] = await Promise.all([connecting, request?.accept({ qp: serverQp })]);
    assert.deepEqual([client.peer.srq, server?.peer.srq], [isShared, isShared]);
    await client.disconnect();
    for (const object of [withQueue, srq, end, serverQp, serverQueue, serverEnd]) await object.close();
  }
});
