/** Datagram services by rdma_cm: a client asks where a service is, and sends there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CmDatagramServer, listenUd, RDMA_UDP_QKEY, resolveUd } from '../../src/cm/datagram-service.js';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import type { Device } from '../../src/verbs/device.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { QpType } from '../../src/verbs/qp-state.js';
import { WorkCompletion } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { CLIENT_HOST, SERVER_HOST } from '../../testkit/cm-pair.js';

interface Service {
  readonly client: Device;
  readonly server: Device;
  readonly listener: CmDatagramServer;
  readonly to: { readonly host: string; readonly port: number; readonly udpPort: number };
}

async function withService(
  names: readonly [string, string],
  run: (service: Service) => Promise<void>,
): Promise<void> {
  await using client = await openDevice(names[0]);
  await using server = await openDevice(names[1]);
  await using listener = await listenUd(server);
  const { udpPort } = await server.queryPort();
  await run({ client, server, listener, to: { ...listener.address, udpPort } });
  assert.equal(client.census().cmIds, 0);
}

const IPV4 = [`soft:${CLIENT_HOST}`, `soft:${SERVER_HOST}`] as const;

async function openUd(device: Device): Promise<Endpoint> {
  const path = { qkey: RDMA_UDP_QKEY };
  const end = await openEndpoint(device, { type: QpType.UD, memory: 4096, path });
  await end.connect(null);
  return end;
}

async function failure(promise: Promise<unknown>): Promise<RdmaError> {
  return promise.then(
    () => assert.fail('it must fail'),
    (error: RdmaError) => error,
  );
}

for (const [what, names] of [
  ['IPv4', IPV4],
  ['IPv6', ['soft:::1?port=0', 'soft:::1?port=0']],
] as const) {
  test(`a service is found with its private data, and takes datagrams: ${what}`, () =>
    withService(names, async ({ client, server, listener, to }) => {
      await using service = await openUd(server);
      service.qp.postRecv({ wrId: 1, sges: [{ mr: service.memory }] });
      const serving = (async () => {
        const request = await listener.next();
        assert.equal(Buffer.from(request?.privateData.subarray(0, 3) ?? []).toString(), 'who');
        assert.equal(request?.privateData.length, 180);
        await request?.accept({ qp: service, privateData: Buffer.from('me') });
      })();
      const found = await resolveUd(client, { ...to, privateData: Buffer.from('who'), trafficClass: 8 });
      await serving;
      assert.deepEqual([found.qpn, found.qkey], [service.qp.qpn, RDMA_UDP_QKEY]);
      assert.deepEqual(
        [Buffer.from(found.privateData.subarray(0, 2)).toString(), found.privateData.length],
        ['me', 136],
      );
      await using end = await openUd(client);
      const { gid: dgid, udpPort, options } = found;
      await using ah = await end.pd.createAh({ dgid, udpPort, ...options });
      end.qp.postSend({
        wrId: 2,
        opcode: WrOpcode.SEND,
        flags: SendFlags.SIGNALED,
        sges: [{ mr: end.memory, length: 9 }],
        ah,
        remoteQpn: found.qpn,
        remoteQkey: found.qkey,
      });
      const wc = [new WorkCompletion()];
      assert.equal(await service.take(wc), 1);
      assert.deepEqual([wc[0]?.byteLen, wc[0]?.srcQpn], [49, end.qp.qpn]);
    }));
}

test('no listener, a program that says no and silence are told apart', () =>
  withService(IPV4, async ({ client, listener, to }) => {
    const nobody = await failure(resolveUd(client, { ...to, port: (to.port % 60_000) + 1 }));
    assert.deepEqual([nobody.code, nobody.rejection?.name], ['ERR_RDMA_REJECTED', 'invalid-service-id']);
    assert.match(nobody.message, /nobody listens for datagrams .* not a UDP port\): start the service there/);
    const refusing = (async () => {
      for await (const request of listener) {
        await request.reject({ privateData: Buffer.from('no') });
        break;
      }
    })();
    const refused = await failure(resolveUd(client, to));
    await refusing;
    assert.equal(refused.rejection?.name, 'consumer');
    assert.equal(Buffer.from(refused.rejection?.privateData.subarray(0, 2) ?? []).toString(), 'no');
    const silent = await failure(resolveUd(client, { ...to, host: '127.0.0.99', timeoutMillis: 60 }));
    assert.equal(silent.code, 'ERR_RDMA_UNREACHABLE');
    const aborted = await failure(
      resolveUd(client, { ...to, host: '127.0.0.99', signal: AbortSignal.timeout(30) }),
    );
    assert.equal(aborted.code, 'ERR_RDMA_ABORTED');
  }));

test('a service that closes refuses the requests that nobody took', () =>
  withService(IPV4, async ({ client, listener, to }) => {
    const asking = failure(resolveUd(client, to));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await listener.close();
    assert.equal((await asking).code, 'ERR_RDMA_REJECTED');
  }));

test('a lookup ends with its device', async () => {
  const client = await openDevice(IPV4[0]);
  const asking = failure(resolveUd(client, { host: '127.0.0.99', port: 7 }));
  while (client.census().cmIds === 0) await new Promise((resolve) => setImmediate(resolve));
  await client.close({ force: true });
  assert.equal((await asking).code, 'ERR_RDMA_CLOSED');
});

test('only UD queue pairs serve datagrams', () =>
  withService(IPV4, async ({ client, server, listener, to }) => {
    await using wrong = await openEndpoint(server);
    await using right = await openUd(server);
    const asking = resolveUd(client, to);
    const request = await listener.next();
    const error = await failure(request?.accept({ qp: wrong }) as Promise<unknown>);
    assert.match(error.message, /qp must be of type UD, not RC/);
    await request?.accept({ qp: right });
    assert.equal((await asking).qpn, right.qp.qpn);
    const again = await failure(request?.accept({ qp: right }) as Promise<unknown>);
    assert.equal(again.code, 'ERR_RDMA_INVALID_STATE');
  }));
