/** The communication manager: two ends of one device meet, and part; a program and a service find each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp, parseGid, type UdpAddress } from '../../src/verbs/address.js';
import { toQKey } from '../../src/verbs/brands.js';
import type {
  CmConnectRequest,
  CmDatagramEvent,
  CmDatagramRequest,
  CmEvent,
  CmId,
  CmListener,
  CmPath,
  CmRequest,
  ConnectionManager,
  OwnCmParameters,
} from '../../src/verbs/connection-manager.js';
import type { Device } from '../../src/verbs/device.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { End, ownGid, skipUnless, withDevice } from './harness.js';

const LIMIT_MILLIS = 30_000;
/** `RDMA_UDP_QKEY`: the only one that a kernel answers with. */
const SERVICE_QKEY = toQKey(0x01234567);
const NOTHING = new Uint8Array();

/** What was told, oldest first. */
class Heard<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  readonly add = (item: T): void => {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter(item);
  };

  next(what: string): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no ${what} in ${LIMIT_MILLIS / 1000} s`)),
        LIMIT_MILLIS,
      );
      this.#waiting.push((told) => {
        clearTimeout(timer);
        resolve(told);
      });
    });
  }
}

interface Stage {
  readonly device: Device;
  readonly manager: ConnectionManager;
  /** Of the device. */
  readonly host: string;
  readonly udpPort: number;
}

async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  await withDevice(async (device) => {
    const host = formatIp(parseGid((await ownGid(device)).gid) as UdpAddress);
    const { udpPort } = await device.queryPort();
    await play({ device, manager: await device.connectionManager(), host, udpPort });
  });
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0+$/, '');

const parameters = ({ qp }: End, more: Partial<OwnCmParameters> = {}): OwnCmParameters => ({
  qpn: qp.qpn,
  responderResources: 4,
  initiatorDepth: 4,
  retryCount: 6,
  rnrRetryCount: 5,
  flowControl: false,
  srq: false,
  privateData: NOTHING,
  ...more,
});

interface Client {
  readonly id: CmId;
  readonly heard: Heard<CmEvent>;
}

function connect(
  { manager, host, udpPort }: Stage,
  end: End,
  port: number,
  more: Partial<CmConnectRequest> = {},
): Client {
  const heard = new Heard<CmEvent>();
  const request = { remote: { host, port }, udpPort, timeoutMillis: LIMIT_MILLIS, ...parameters(end, more) };
  return { id: manager.connect({ ...request, ...more }, heard.add), heard };
}

async function serve(
  { manager, host }: Stage,
  at: { readonly host?: string | null; readonly port?: number } = {},
): Promise<{ readonly listener: CmListener; readonly port: number; readonly requests: Heard<CmRequest> }> {
  const requests = new Heard<CmRequest>();
  const listener = await manager.listen({ host, port: 0, backlog: 8, ...at }, requests.add);
  return { listener, port: listener.address.port, requests };
}

function follow(request: CmRequest): Heard<CmEvent> {
  const heard = new Heard<CmEvent>();
  request.onEvent(heard.add);
  return heard;
}

async function responseOf({ heard }: Client): Promise<CmEvent & { readonly type: 'response' }> {
  const event = await heard.next('response');
  assert.equal(event.type, 'response', event.type === 'failed' ? event.error.message : event.type);
  return event as CmEvent & { readonly type: 'response' };
}

/** The code of the error, or what else was told. */
async function failureOf({ id, heard }: Client): Promise<string> {
  const event = await heard.next('failure');
  await id.close();
  return event.type === 'failed' ? event.error.code : event.type;
}

const bringUp = (end: End, { peer, own, options }: CmPath): Promise<void> =>
  end.endpoint.connect(peer, options, own);

async function closeAll(...objects: readonly { close(): Promise<void> }[]): Promise<void> {
  for (const object of objects) await object.close();
}

interface Meeting {
  readonly client: Client;
  readonly request: CmRequest;
  readonly told: Heard<CmEvent>;
  readonly a: End;
  readonly b: End;
  close(): Promise<void>;
}

/** Both ends established. */
async function meet(stage: Stage): Promise<Meeting> {
  const server = await serve(stage);
  const a = await End.open(stage.device);
  const b = await End.open(stage.device);
  const client = connect(stage, a, server.port);
  const request = await server.requests.next('request');
  const told = follow(request);
  await bringUp(b, request.path);
  await request.id.accept(parameters(b));
  const { path } = await responseOf(client);
  await bringUp(a, path);
  await client.id.establish();
  assert.deepEqual(await told.next('established'), { type: 'established' });
  const close = (): Promise<void> => closeAll(client.id, request.id, server.listener, a, b);
  return { client, request, told, a, b, close };
}

test('two ends meet, hear what the other said, and move data both ways', () =>
  onStage(async (stage) => {
    const server = await serve(stage);
    const a = await End.open(stage.device);
    const b = await End.open(stage.device);
    const privateData = Buffer.from('hello-from-client');
    const client = connect(stage, a, server.port, { responderResources: 2, initiatorDepth: 3, privateData });
    const request = await server.requests.next('request');
    const { peer } = request;
    assert.deepEqual([textOf(peer.privateData), peer.privateData.length], ['hello-from-client', 56]);
    assert.deepEqual([peer.qpn, peer.responderResources, peer.initiatorDepth], [a.qp.qpn, 2, 3]);
    assert.deepEqual([peer.retryCount, peer.rnrRetryCount], [6, 5]);
    assert.deepEqual([request.path.own.rdAtomic, request.path.own.initiatorDepth], [3, 2]);
    assert.equal(request.path.peer.qpn, a.qp.qpn);
    assert.equal(request.id.remote.host, stage.host);
    assert.deepEqual(request.id.local, { host: stage.host, port: server.port });
    const told = follow(request);
    await bringUp(b, request.path);
    await request.id.accept(
      parameters(b, {
        responderResources: 3,
        initiatorDepth: 2,
        privateData: Buffer.from('hello-from-server'),
      }),
    );
    const { path, peer: answer } = await responseOf(client);
    assert.deepEqual([textOf(answer.privateData), answer.privateData.length], ['hello-from-server', 196]);
    assert.deepEqual([answer.qpn, answer.responderResources, answer.initiatorDepth], [b.qp.qpn, 3, 2]);
    assert.deepEqual([path.peer.rdAtomic, path.own.rdAtomic], [3, 2]);
    // Each end sends from the PSN on that the other one expects.
    assert.deepEqual([path.peer.psn, path.own.psn], [request.path.own.psn, request.path.peer.psn]);
    await bringUp(a, path);
    await client.id.establish();
    assert.deepEqual(await told.next('established'), { type: 'established' });
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const source = await from.register(Uint8Array.of(1, 2, 3, 4));
      const bytes = new Uint8Array(4);
      to.qp.postRecv({ wrId: 1, sges: [{ mr: await to.register(bytes) }] });
      from.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr: source }] });
      await to.succeed();
      await from.succeed();
      assert.deepEqual([...bytes], [1, 2, 3, 4]);
      const lent = await to.register(Uint8Array.of(5, 6, 7, 8));
      const read = { wrId: 3, opcode: WrOpcode.RDMA_READ, flags: SendFlags.SIGNALED, sges: [{ mr: source }] };
      from.qp.postSend({ ...read, remoteAddr: lent.addr, rkey: lent.rkey });
      await from.succeed();
    }
    await closeAll(client.id, request.id, server.listener, a, b);
  }));

test('either end disconnects, and both are told who did', () =>
  onStage(async (stage) => {
    for (const isPassive of [false, true]) {
      const meeting = await meet(stage);
      const first = { id: meeting.client.id, heard: meeting.client.heard };
      const second = { id: meeting.request.id, heard: meeting.told };
      const [ending, other] = isPassive ? [second, first] : [first, second];
      await ending.id.disconnect();
      assert.deepEqual(await other.heard.next('end'), { type: 'disconnected', byPeer: true, answered: true });
      await other.id.disconnect();
      assert.deepEqual(await ending.heard.next('end'), {
        type: 'disconnected',
        byPeer: false,
        answered: true,
      });
      await ending.id.disconnect();
      await meeting.close();
    }
  }));

test('an end that is closed without a word tells the other one', () =>
  onStage(async (stage) => {
    const meeting = await meet(stage);
    await meeting.client.id.close();
    await meeting.client.id.close();
    const end = await meeting.told.next('end');
    assert.deepEqual(end, { type: 'disconnected', byPeer: true, answered: true });
    await meeting.close();
  }));

test('a rejection has its reason and private data, whoever says it', () =>
  onStage(async (stage) => {
    const server = await serve(stage);
    const a = await End.open(stage.device);
    const rejection = async (heard: Heard<CmEvent>): Promise<unknown[]> => {
      const event = await heard.next('rejection');
      assert.equal(event.type, 'rejected');
      return event.type === 'rejected'
        ? [event.reason, textOf(event.privateData), event.privateData.length]
        : [];
    };
    const first = connect(stage, a, server.port);
    const refused = await server.requests.next('request');
    await refused.id.reject(28, Buffer.from('go away'));
    assert.deepEqual(await rejection(first.heard), [28, 'go away', 148]);
    await closeAll(first.id, refused.id);
    const second = connect(stage, a, server.port);
    const request = await server.requests.next('request');
    const told = follow(request);
    const b = await End.open(stage.device);
    await request.id.accept(parameters(b));
    await responseOf(second);
    await second.id.reject(28, Buffer.from('changed my mind'));
    assert.deepEqual(await rejection(told), [28, 'changed my mind', 148]);
    await closeAll(second.id, request.id);
    const third = connect(stage, a, server.port);
    await (await server.requests.next('request')).id.close();
    assert.deepEqual(await rejection(third.heard), [28, '', 148]);
    await closeAll(third.id, server.listener);
    const nobody = connect(stage, a, server.port);
    assert.deepEqual(await rejection(nobody.heard), [8, '', 148]);
    await closeAll(nobody.id, a, b);
  }));

test('a client gives up after its time, and its request is of no use any more', () =>
  onStage(async (stage) => {
    const server = await serve(stage);
    const a = await End.open(stage.device);
    const b = await End.open(stage.device);
    const client = connect(stage, a, server.port, { timeoutMillis: 1500 });
    const request = await server.requests.next('request');
    const told = follow(request);
    assert.deepEqual(await client.heard.next('end'), { type: 'unreachable' });
    await client.id.close();
    const isRefused = request.id.accept(parameters(b)).then(
      () => told.next('end').then(({ type }) => type !== 'established'),
      () => true,
    );
    assert.ok(await isRefused);
    await closeAll(request.id, server.listener, a, b);
  }));

test('a port is taken once, and given back; a foreign address is refused', () =>
  onStage(async (stage) => {
    const { listener, port } = await serve(stage);
    const taken = { code: 'ERR_RDMA_ADDRESS', message: /taken/ };
    await assert.rejects(serve(stage, { port }), taken);
    await assert.rejects(serve(stage, { host: null, port }), taken);
    await assert.rejects(serve(stage, { host: '203.0.113.7' }), { code: 'ERR_RDMA_ADDRESS' });
    await listener.close();
    await listener.close();
    await listener.ended;
    const again = await serve(stage, { host: null, port });
    assert.equal(again.port, port);
    await again.listener.close();
  }));

test('who connects from a foreign address is told', () =>
  onStage(async (stage) => {
    const a = await End.open(stage.device);
    assert.equal(await failureOf(connect(stage, a, 7999, { localHost: '203.0.113.7' })), 'ERR_RDMA_ADDRESS');
    await a.close();
  }));

test('what the routes of this machine do not allow is told', (t) =>
  onStage(async (stage) => {
    // A soft device has no routes of its own, and one at 127.0.0.1 is reached there.
    if (skipUnless(stage.device.kind !== 'soft', t, "the kernel's routes")) return;
    const a = await End.open(stage.device);
    const reach = (host: string): Promise<string> =>
      failureOf(connect(stage, a, 7999, { remote: { host, port: 7999 }, timeoutMillis: 8000 }));
    assert.equal(await reach('127.0.0.1'), 'ERR_RDMA_ADDRESS');
    // Where there is a default route, nobody answers from the net for documentation.
    assert.match(await reach('203.0.113.1'), /^(ERR_RDMA_ADDRESS|ERR_RDMA_UNREACHABLE|unreachable)$/);
    await a.close();
  }));

test('a device that closes by force tells those who wait', async () => {
  const error: unknown[] = [];
  await withDevice(async (first) => {
    const host = formatIp(parseGid((await ownGid(first)).gid) as UdpAddress);
    const manager = await first.connectionManager();
    assert.equal(manager, await first.connectionManager());
    const end = await End.open(first);
    const heard = new Heard<CmEvent>();
    const stage = { device: first, manager, host, udpPort: (await first.queryPort()).udpPort };
    const server = await serve(stage);
    manager.connect(
      {
        remote: { host, port: server.port },
        udpPort: stage.udpPort,
        timeoutMillis: LIMIT_MILLIS,
        ...parameters(end),
      },
      heard.add,
    );
    await server.requests.next('request');
    assert.equal(first.census().cmIds, 3);
    await assert.rejects(first.close(), { code: 'ERR_RDMA_IN_USE' });
    await first.close({ force: true });
    await server.listener.ended;
    const event = await heard.next('end');
    error.push(event.type);
  });
  assert.ok(error[0] === 'failed' || error[0] === 'rejected', String(error[0]));
});

test('a datagram service is found, says no, or is not there', () =>
  onStage(async (stage) => {
    const { manager, host, udpPort, device } = stage;
    const requests = new Heard<CmDatagramRequest>();
    const listener = await manager.listenDatagram({ host, port: 0, backlog: 8 }, requests.add);
    const { port } = listener.address;
    const b = await End.open(device);
    const ask = (at: number): Heard<CmDatagramEvent> => {
      const heard = new Heard<CmDatagramEvent>();
      const privateData = Buffer.from('ud-client');
      manager.lookUp(
        { remote: { host, port: at }, udpPort, privateData, timeoutMillis: LIMIT_MILLIS },
        heard.add,
      );
      return heard;
    };
    const found = ask(port);
    const request = await requests.next('request');
    assert.deepEqual([textOf(request.privateData), request.privateData.length], ['ud-client', 180]);
    assert.equal(request.remote.host, host);
    await request.accept(b.qp.qpn, SERVICE_QKEY, Buffer.from('ud-server'));
    const event = await found.next('answer');
    assert.equal(event.type, 'found');
    if (event.type !== 'found') return;
    const { service } = event;
    assert.deepEqual([service.gid, service.udpPort], [(await ownGid(device)).gid, udpPort]);
    assert.deepEqual([service.qpn, service.qkey], [b.qp.qpn, SERVICE_QKEY]);
    assert.deepEqual([textOf(service.privateData), service.privateData.length], ['ud-server', 136]);
    // The client has its answer and waits no more.
    await assert.rejects(request.accept(b.qp.qpn, SERVICE_QKEY, new Uint8Array()), { name: 'RdmaError' });
    const no = ask(port);
    await (await requests.next('request')).reject(Buffer.from('ud-no'));
    const refused = await no.next('answer');
    assert.equal(refused.type, 'refused');
    if (refused.type === 'refused')
      assert.deepEqual([refused.status, textOf(refused.privateData)], [2, 'ud-no']);
    await listener.close();
    const none = await ask(port).next('answer');
    assert.deepEqual([none.type, none.type === 'refused' && none.status], ['refused', 1]);
    await b.close();
  }));
