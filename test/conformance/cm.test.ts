/**
 * Meeting peers by rdma_cm, on the communication manager of any device: both ends are of the one device. A device without
 * one skips, with the reason.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CmConnection } from '../../src/cm/cm-connection.js';
import { type CmIncoming, type CmServer, listen } from '../../src/cm/cm-server.js';
import { connect } from '../../src/cm/connect.js';
import { listenUd, RDMA_UDP_QKEY, resolveUd } from '../../src/cm/datagram-service.js';
import type { CmAcceptOptions, CmConnectOptions, CmResolveOptions } from '../../src/cm/options.js';
import type { Device } from '../../src/verbs/device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, deviceName, End, ownGid, pattern, withDevice } from './harness.js';

type Target = Pick<CmResolveOptions, 'host' | 'port' | 'udpPort'>;

interface Meeting {
  readonly device: Device;
  readonly server: CmServer;
  readonly to: Target;
}

/** The address that the device has for peers, as programs name it. */
async function targetOf(device: Device, port: number): Promise<Target> {
  const { gid } = await ownGid(device);
  const { udpPort } = await device.queryPort();
  return { host: gid.replace(/^::ffff:/i, ''), port, ...(udpPort === 4791 ? {} : { udpPort }) };
}

async function hasManager(device: Device, t: TestContext): Promise<boolean> {
  try {
    await device.connectionManager();
    return true;
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    t.skip(`${deviceName} has no communication manager: ${error.message}`);
    return false;
  }
}

function withServer(t: TestContext, run: (meeting: Meeting) => Promise<void>): Promise<void> {
  return withDevice(async (device) => {
    if (!(await hasManager(device, t))) return;
    const { host } = await targetOf(device, 1);
    const server = await listen(device, { host });
    try {
      await run({ device, server, to: await targetOf(device, server.address.port) });
    } finally {
      await server.close();
    }
  });
}

interface Met {
  readonly a: End;
  readonly b: End;
  readonly client: CmConnection;
  readonly server: CmConnection;
  readonly request: CmIncoming;
}

async function withMeeting(
  { device, server, to }: Meeting,
  run: (met: Met) => Promise<void>,
  asked: Partial<CmConnectOptions> = {},
  answered: Partial<CmAcceptOptions> = {},
): Promise<void> {
  const [a, b] = [await End.open(device), await End.open(device)];
  try {
    const connecting = connect(device, { ...to, qp: a.endpoint, ...asked });
    const request = await Promise.race([server.next(), connecting]);
    assert.ok(request !== undefined && !(request instanceof CmConnection));
    const accepting = request.accept({ qp: b.endpoint, ...answered });
    const [client, accepted] = await Promise.all([connecting, accepting]);
    try {
      await run({ a, b, client, server: accepted, request });
    } finally {
      await Promise.all([client.disconnect(), accepted.disconnect()]);
    }
  } finally {
    await Promise.allSettled([a.close(), b.close()]);
  }
}

/** `from` sends `length` bytes to `to`. */
async function sendBytes(from: End, to: End, length: number): Promise<void> {
  const bytes = pattern(length, length);
  const target = await to.register(new Uint8Array(length));
  to.qp.postRecv({ wrId: 7, sges: [{ mr: target }] });
  const source = await from.register(bytes);
  from.qp.postSend({ wrId: 8, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr: source }] });
  assert.equal((await to.succeed()).byteLen, length);
  await from.succeed();
  assertSameBytes(target.bytes, bytes, 'the message');
}

const startOf = (bytes: Uint8Array, length: number): string =>
  Buffer.from(bytes.subarray(0, length)).toString();

test('a client and a server meet, say private data, exchange messages, and the client ends it', (t) =>
  withServer(t, (meeting) =>
    withMeeting(
      meeting,
      async ({ a, b, client, server, request }) => {
        assert.equal(startOf(request.privateData, 5), 'hello');
        assert.equal(startOf(client.privateData, 7), 'welcome');
        assert.deepEqual([request.privateData.length, client.privateData.length], [56, 196]);
        assert.deepEqual([client.peer.qpn, server.peer.qpn], [b.qp.qpn, a.qp.qpn]);
        assert.deepEqual([a.qp.state, b.qp.state], [QpState.RTS, QpState.RTS]);
        await sendBytes(a, b, 3000);
        await sendBytes(b, a, 3000);
        const ending = await client.disconnect();
        assert.deepEqual([ending.type, (await server.ended).type], ['disconnected', 'disconnected']);
        assert.deepEqual(
          [(await a.qp.query()).state, (await b.qp.query()).state],
          [QpState.ERR, QpState.ERR],
        );
      },
      { privateData: Buffer.from('hello') },
      { privateData: Buffer.from('welcome') },
    ),
  ));

test('the server ends a connection, and what is posted at the client flushes', (t) =>
  withServer(t, (meeting) =>
    withMeeting(meeting, async ({ a, client, server }) => {
      a.qp.postRecv({ wrId: 3, sges: [] });
      await server.disconnect();
      assert.deepEqual(await a.statuses(1), ['3:WR_FLUSH_ERR']);
      const ending = await client.ended;
      assert.equal(ending.type === 'disconnected' && ending.byPeer, true);
    }),
  ));

test('depths and retries become what the two said', (t) =>
  withServer(t, (meeting) =>
    withMeeting(
      meeting,
      async ({ client, server }) => {
        assert.deepEqual(client.depths, { responderResources: 4, initiatorDepth: 3 });
        assert.deepEqual(server.depths, { responderResources: 2, initiatorDepth: 4 });
        const [own, peer] = [await client.qp.query(), await server.qp.query()];
        assert.deepEqual([own.retryCount, peer.retryCount, own.rnrRetry, peer.rnrRetry], [5, 5, 6, 4]);
        assert.deepEqual([own.sqPsn, own.rqPsn], [peer.rqPsn, peer.sqPsn]);
      },
      { responderResources: 4, initiatorDepth: 3, retryCount: 5, rnrRetryCount: 4 },
      { responderResources: 2, initiatorDepth: 9, rnrRetryCount: 6 },
    ),
  ));

test('the memory of an endpoint that a client connected is read and written by the server', (t) =>
  withServer(t, (meeting) =>
    withMeeting(meeting, async ({ a, b }) => {
      const lent = await a.register(pattern(100, 1));
      const own = await b.register(new Uint8Array(100));
      const request = {
        sges: [{ mr: own }],
        remoteAddr: lent.addr,
        rkey: lent.rkey,
        flags: SendFlags.SIGNALED,
      };
      b.qp.postSend({ ...request, wrId: 1, opcode: WrOpcode.RDMA_READ });
      await b.succeed();
      assertSameBytes(own.bytes, lent.bytes, 'what was read');
      own.bytes.fill(0x77);
      b.qp.postSend({ ...request, wrId: 2, opcode: WrOpcode.RDMA_WRITE });
      await b.succeed();
      assertSameBytes(lent.bytes, own.bytes, 'what was written');
    }),
  ));

test('a reject says why; where nobody listens, the error says so', (t) =>
  withServer(t, async ({ device, server, to }) => {
    const end = await End.open(device);
    const rejecting = server
      .next()
      .then((request) => request?.reject({ reason: 28, privateData: Buffer.from('go-away') }));
    const error = await connect(device, { ...to, qp: end.endpoint }).catch((reason) => reason as RdmaError);
    await rejecting;
    assert.ok(error instanceof RdmaError);
    assert.deepEqual([error.code, error.rejection?.name], ['ERR_RDMA_REJECTED', 'consumer']);
    assert.equal(startOf(error.rejection?.privateData ?? new Uint8Array(0), 7), 'go-away');
    const nobody = { ...to, port: (to.port % 60_000) + 1, qp: end.endpoint };
    await assert.rejects(connect(device, nobody), {
      code: 'ERR_RDMA_REJECTED',
      message: /nobody listens on port \d+ of rdma_cm at .* \(this is not a TCP port\)/,
    });
    assert.equal(end.qp.state, QpState.INIT);
    await end.close();
  }));

test('a client that gives up is aborted at once', (t) =>
  withServer(t, async ({ device, server, to }) => {
    const end = await End.open(device);
    const aborting = new AbortController();
    const connecting = connect(device, { ...to, qp: end.endpoint, signal: aborting.signal });
    const request = await Promise.race([server.next(), connecting]);
    aborting.abort();
    await assert.rejects(connecting, { code: 'ERR_RDMA_ABORTED' });
    assert.ok(request !== undefined && !(request instanceof CmConnection));
    await request.reject().catch(() => {});
    await end.close();
  }));

test('a port that is taken, and an address of nobody here, are refused', (t) =>
  withServer(t, async ({ device, server }) => {
    const { host, port } = server.address;
    await assert.rejects(listen(device, { host, port }), { code: 'ERR_RDMA_ADDRESS' });
    await assert.rejects(listen(device, { host: '192.0.2.1', port }), { code: 'ERR_RDMA_ADDRESS' });
  }));

test('a datagram service is found', (t) =>
  withDevice(async (device) => {
    if (!(await hasManager(device, t))) return;
    const { host } = await targetOf(device, 1);
    const server = await listenUd(device, { host });
    const path = { qkey: RDMA_UDP_QKEY };
    const service = await End.open(device, { qp: { type: QpType.UD }, path });
    await service.endpoint.connect(null);
    try {
      const serving = server
        .next()
        .then((request) => request?.accept({ qp: service.endpoint, privateData: Buffer.from('here') }));
      const to = await targetOf(device, server.address.port);
      const found = await resolveUd(device, { ...to, privateData: Buffer.from('who') });
      await serving;
      assert.deepEqual([found.qpn, found.qkey], [service.qp.qpn, RDMA_UDP_QKEY]);
      assert.equal(startOf(found.privateData, 4), 'here');
    } finally {
      await service.close();
      await server.close();
    }
  }));
