/** How queues and controllers end: hosts that leave, fall silent, lie or come again, and backends that fail or take their time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { CmConnection } from '../../src/cm/cm-connection.js';
import { CmIncoming } from '../../src/cm/cm-server.js';
import type { NvmeBackend } from '../../src/nvme/backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { LIMITS } from '../../src/nvme/target/limits.js';
import type { NvmeHost, NvmeTarget } from '../../src/nvme/target/nvme-target.js';
import type { ServeNvmeOptions } from '../../src/nvme/target/options.js';
import { TargetQueue } from '../../src/nvme/target/target-queue.js';
import { AdminOpcode, IoOpcode, Property } from '../../src/nvme/wire/opcodes.js';
import { queueRequest, RejectStatus } from '../../src/nvme/wire/private-data.js';
import { nvmeStatusName, Status } from '../../src/nvme/wire/status.js';
import { RdmaError } from '../../src/verbs/errors.js';
import {
  ENABLED,
  getProperty,
  RawQueue,
  runConnect,
  setProperty,
  type To,
} from '../../testkit/nvme-raw-host.js';
import { within } from '../../testkit/within.js';
import { expectEmpty, gatedBackend, NQN, placeOf, serve, useDevices } from './disk-world.js';

const SOON_MILLIS = 15_000;

const devices = useDevices();

/** A target whose device is as before when it is closed. */
class Served implements AsyncDisposable {
  readonly target: NvmeTarget;
  readonly to: To;

  static async open(backend: NvmeBackend, options: Partial<ServeNvmeOptions> = {}): Promise<Served> {
    const target = await serve(devices, backend, options);
    return new Served(target, await placeOf(devices, target));
  }

  private constructor(target: NvmeTarget, to: To) {
    this.target = target;
    this.to = to;
  }

  async host(keepAliveMillis = 0): Promise<{ admin: RawQueue; io: RawQueue; controllerId: number }> {
    const admin = await RawQueue.open(devices.host, this.to);
    const { resultLow: controllerId } = await runConnect(admin, { nqn: NQN, keepAliveMillis });
    await setProperty(admin, Property.CC, ENABLED);
    const io = await RawQueue.open(devices.host, this.to, { qid: 1, entries: 16 });
    const { status } = await runConnect(io, { nqn: NQN, controllerId });
    assert.equal(status, Status.SUCCESS);
    return { admin, io, controllerId };
  }

  disconnected(): Promise<[NvmeHost, string]> {
    return within(once(this.target, 'disconnect') as Promise<[NvmeHost, string]>, SOON_MILLIS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.target.close();
    expectEmpty(devices.target);
  }
}

const block = (opcode: number) => ({ opcode, nsid: 1, cdw12: 0 });
const ONE = { kind: 'keyed', length: 4096 } as const;

/** Waits for the test's word in every read and write. */
const slowBackend = () => gatedBackend(1 << 20, (name) => name === 'read' || name === 'write');

test('a host that disconnects is gone with its queues, and another one does not notice', async () => {
  await using served = await Served.open(memoryBackend(1 << 20));
  const first = await served.host();
  const second = await served.host();
  assert.equal(served.target.hosts.length, 2);
  const gone = served.disconnected();
  await first.io[Symbol.asyncDispose]();
  await first.admin[Symbol.asyncDispose]();
  const [host] = await gone;
  assert.equal(host.controllerId, first.controllerId);
  assert.equal((await second.io.run(block(IoOpcode.READ), ONE)).status, Status.SUCCESS);
  assert.equal(served.target.counters()['controllers'], 1);
  await second.io[Symbol.asyncDispose]();
  await second.admin[Symbol.asyncDispose]();
});

test('a host that falls silent loses its controller, and one that does anything keeps it', async () => {
  await using served = await Served.open(memoryBackend(1 << 20));
  const silent = await served.host(300);
  const busy = await served.host(1000);
  const gone = served.disconnected();
  let isGone = false;
  gone.finally(() => {
    isGone = true;
  });
  while (!isGone) await busy.io.run(block(IoOpcode.READ), ONE);
  const [host, reason] = await gone;
  assert.deepEqual([host.controllerId, reason], [silent.controllerId, 'the keep-alive timer expired']);
  await within(silent.io.connection.ended, SOON_MILLIS);
  assert.equal(served.target.counters()['keepAliveExpired'], 1);
  assert.equal((await busy.io.run(block(IoOpcode.READ), ONE)).status, Status.SUCCESS);
  for (const { io, admin } of [silent, busy]) {
    await io[Symbol.asyncDispose]();
    await admin[Symbol.asyncDispose]();
  }
});

test('a capsule that is no command ends the controller of its host alone', async () => {
  await using served = await Served.open(memoryBackend(1 << 20));
  const liar = await served.host();
  const honest = await served.host();
  const gone = served.disconnected();
  liar.io.sendCapsule(new Uint8Array(63));
  const [host, reason] = await gone;
  assert.equal(host.controllerId, liar.controllerId);
  assert.match(reason, /63 bytes is no command/);
  assert.equal(served.target.counters()['shortCapsules'], 1);
  assert.equal((await honest.io.run(block(IoOpcode.READ), ONE)).status, Status.SUCCESS);
  for (const { io, admin } of [liar, honest]) {
    await io[Symbol.asyncDispose]();
    await admin[Symbol.asyncDispose]();
  }
});

test('a key that opens nothing ends the queue, and its buffer comes back', async () => {
  await using served = await Served.open(memoryBackend(1 << 20));
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.READ), ONE, (view) => view.setUint32(24 + 11, 0xdeadbeef, true));
  await within(io.connection.ended, SOON_MILLIS);
  while (served.target.counters()['queues'] !== 1) await getProperty(admin, Property.CSTS);
  assert.equal(served.target.counters()['buffersInUse'], 0);
  await io[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
});

test('a backend that fails fails the command alone, and is told of', async () => {
  const error = new Error('no disk');
  const fails = (): never => {
    throw error;
  };
  const backend = { ...memoryBackend(1 << 20), read: async () => fails(), write: fails, flush: fails };
  await using served = await Served.open(backend);
  const told: unknown[] = [];
  served.target.on('backendError', (one) => told.push(one));
  const { io, admin } = await served.host();
  const names: string[] = [];
  for (const opcode of [IoOpcode.READ, IoOpcode.WRITE]) {
    names.push(nvmeStatusName((await io.run(block(opcode), ONE)).status));
  }
  names.push(nvmeStatusName((await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 })).status));
  names.push(nvmeStatusName((await io.run(block(IoOpcode.WRITE_ZEROES))).status));
  assert.deepEqual(names, ['UNRECOVERED_READ_ERROR', 'WRITE_FAULT', 'INTERNAL_ERROR', 'SUCCESS']);
  assert.deepEqual(told, [error, error, error]);
  await io[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
});

test('a host that comes again waits until what it had asked for before is done', async () => {
  const { backend, goOn, calls } = slowBackend();
  await using served = await Served.open(backend);
  using _ = { [Symbol.dispose]: goOn };
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.WRITE), { kind: 'capsule', bytes: new Uint8Array(4096) });
  while (calls.length === 0) await getProperty(admin, Property.CSTS);
  await io[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
  const again = await RawQueue.open(devices.host, served.to);
  const connecting = runConnect(again, { nqn: NQN }).then(() => calls.push('connected'));
  await assert.rejects(within(connecting, 300), /nothing came/);
  goOn();
  await connecting;
  assert.deepEqual(calls, ['write', 'written', 'connected']);
  await again[Symbol.asyncDispose]();
});

test('a target that is closed waits for its backends, and hosts hear of it', async () => {
  const { backend, goOn, calls } = slowBackend();
  const served = await Served.open(backend);
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.READ), ONE);
  while (calls.length === 0) await getProperty(admin, Property.CSTS);
  const closing = served.target.close();
  await within(io.connection.ended, SOON_MILLIS);
  await assert.rejects(within(closing, 100), /nothing came/);
  goOn();
  await served[Symbol.asyncDispose]();
  await io[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
});

test('more data than there are buffers waits for its turn, and all of it arrives', async () => {
  const { backend, goOn } = slowBackend();
  await using served = await Served.open({
    ...backend,
    sizeBytes: 64 << 20,
    read: async (_, into) => void into.fill(7),
  });
  const { io, admin, controllerId } = await served.host();
  const more = await RawQueue.open(devices.host, served.to, { qid: 2, entries: 32 });
  await runConnect(more, { nqn: NQN, controllerId });
  goOn();
  const megabyte = { opcode: IoOpcode.READ, nsid: 1, cdw12: 255 };
  for (let i = 0; i < 15; i++) io.send(megabyte, { kind: 'keyed', length: 1 << 20 });
  for (let i = 0; i < 31; i++) more.send(megabyte, { kind: 'keyed', length: 1 << 20 });
  for (let i = 0; i < 15; i++) assert.equal((await io.response()).status, Status.SUCCESS);
  for (let i = 0; i < 31; i++) assert.equal((await more.response()).status, Status.SUCCESS);
  assert.ok(io.data(1 << 20).every((byte) => byte === 7));
  for (const queue of [more, io, admin]) await queue[Symbol.asyncDispose]();
});

test('a queue beyond the limits is refused by rdma_cm, with the reason in its private data', async () => {
  await using served = await Served.open(memoryBackend(1 << 20), {
    queues: 2,
    ioQueues: 2,
    queueEntries: 32,
  });
  const refusedFor = async (options: Parameters<typeof RawQueue.open>[2]): Promise<number> => {
    const error = await RawQueue.open(devices.host, served.to, options).then(
      () => assert.fail('accepted'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof RdmaError, String(error));
    assert.equal(error.code, 'ERR_RDMA_REJECTED');
    return error.rejection?.privateData[2] ?? -1;
  };
  assert.equal(await refusedFor({ qid: 3 }), RejectStatus.QUEUE_ID);
  assert.equal(await refusedFor({ qid: 1, entries: 33 }), RejectStatus.SUBMISSION_QUEUE_SIZE);
  assert.equal(await refusedFor({ entries: 64 }), RejectStatus.SUBMISSION_QUEUE_SIZE);
  assert.equal(await refusedFor({ responderResources: 0 }), RejectStatus.READ_DEPTH);
  const spoilt = queueRequest({ qid: 0, hostReceives: 32, entries: 32 });
  spoilt[0] = 1;
  assert.equal(await refusedFor({ privateData: spoilt }), RejectStatus.FORMAT);
  const { io, admin } = await served.host();
  assert.equal(await refusedFor({ qid: 2, entries: 4 }), RejectStatus.NO_RESOURCES);
  assert.equal(served.target.counters()['queuesRefused'], 6);
  await io[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
});

test('more hosts than controllers are told to come later', async () => {
  await using served = await Served.open(memoryBackend(1 << 20), { controllers: 1 });
  const { io, admin } = await served.host();
  const second = await RawQueue.open(devices.host, served.to);
  assert.equal(
    (await runConnect(second, { nqn: NQN })).status,
    Status.CONNECT_CONTROLLER_BUSY,
    'without "do not retry"',
  );
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
  while ((await runConnect(second, { nqn: NQN })).status !== Status.SUCCESS);
  await second[Symbol.asyncDispose]();
});

test('a controller that is switched off has no I/O queues any more', async () => {
  await using served = await Served.open(memoryBackend(1 << 20));
  const { io, admin } = await served.host();
  await setProperty(admin, Property.CC, ENABLED & ~1);
  await within(io.connection.ended, SOON_MILLIS);
  assert.equal((await admin.run({ opcode: AdminOpcode.KEEP_ALIVE })).status, Status.SUCCESS);
  assert.equal((await getProperty(admin, Property.CSTS)).resultLow, 0);
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});

test('a host whose former controller still lives waits until backends are done with what it asked for', async () => {
  const { backend, goOn, calls } = slowBackend();
  await using served = await Served.open(backend);
  using _ = { [Symbol.dispose]: goOn };
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.WRITE), { kind: 'capsule', bytes: new Uint8Array(4096) });
  while (calls.length === 0) await getProperty(admin, Property.CSTS);
  const again = await RawQueue.open(devices.host, served.to);
  const connecting = runConnect(again, { nqn: NQN }).then(() => calls.push('connected'));
  await assert.rejects(within(connecting, 300), /nothing came/);
  goOn();
  await connecting;
  assert.deepEqual(calls, ['write', 'written', 'connected']);
  assert.equal((await io.response()).status, Status.SUCCESS, 'another path of the host goes on');
  for (const queue of [again, io, admin]) await queue[Symbol.asyncDispose]();
});

test('a Connect that waits for what its host left behind is not late, and one that does not come is', async (t) => {
  let aheadMillis = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMillis);
  const { backend, goOn, calls } = slowBackend();
  await using served = await Served.open(backend);
  using _ = { [Symbol.dispose]: goOn };
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.WRITE), { kind: 'capsule', bytes: new Uint8Array(4096) });
  while (calls.length === 0) await getProperty(admin, Property.CSTS);
  const again = await RawQueue.open(devices.host, served.to);
  const connecting = runConnect(again, { nqn: NQN });
  const silent = await RawQueue.open(devices.host, served.to);
  await assert.rejects(within(connecting, 300), /nothing came/);
  aheadMillis = 15_000;
  await within(silent.connection.ended, SOON_MILLIS);
  assert.equal(served.target.counters()['connectsMissed'], 1);
  goOn();
  assert.equal((await connecting).status, Status.SUCCESS);
  for (const queue of [silent, again, io, admin]) await queue[Symbol.asyncDispose]();
});

test('after a pause of the program hosts are heard before they are judged, once', async (t) => {
  let aheadMillis = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMillis);
  const looks: (() => void)[] = [];
  const start = setInterval;
  t.mock.method(globalThis, 'setInterval', (look: () => void, millis: number) => {
    looks.push(look);
    return start(() => {}, millis);
  });
  await using served = await Served.open(memoryBackend(1 << 20));
  const [look = assert.fail('no interval')] = looks;
  const { io, admin } = await served.host(1000);
  look();
  const expired = (): number => served.target.counters()['keepAliveExpired'] ?? -1;
  aheadMillis += 1500;
  look();
  assert.equal(expired(), 0);
  assert.equal((await admin.run({ opcode: AdminOpcode.KEEP_ALIVE })).status, Status.SUCCESS);
  look();
  assert.equal(expired(), 0);
  aheadMillis += 1500;
  look();
  assert.equal(expired(), 0);
  look();
  assert.equal(expired(), 1, 'it said nothing after the pause');
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});

test('a backend that returns what is no promise has done its work, and one whose promise is no good has failed', async () => {
  const bad = {
    // biome-ignore lint/suspicious/noThenProperty: such a backend is what this test is about.
    get then(): never {
      throw new Error('no promise');
    },
  };
  const backend = {
    ...memoryBackend(1 << 20),
    read: () => 0,
    write: () => null,
    flush: () => bad,
  } as unknown as NvmeBackend;
  await using served = await Served.open(backend);
  const { io, admin } = await served.host();
  assert.equal((await io.run(block(IoOpcode.READ), ONE)).status, Status.SUCCESS);
  assert.ok(io.data(4096).every((byte) => byte === 0));
  assert.equal((await io.run(block(IoOpcode.WRITE), ONE)).status, Status.SUCCESS);
  assert.equal((await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 })).status, Status.INTERNAL_ERROR);
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});

test('a backend that fills a part of a read gives away nothing of another host', async () => {
  const backend: NvmeBackend = {
    ...memoryBackend(1 << 20),
    read: async (_, into) => void into.fill(1, 0, 10),
  };
  await using served = await Served.open(backend);
  const { io, admin } = await served.host();
  const secret = new Uint8Array(8192).fill(0x5e);
  io.data(8192).set(secret);
  const two = { ...block(IoOpcode.WRITE), cdw12: 1 };
  assert.equal((await io.run(two, { kind: 'keyed', length: 8192 })).status, Status.SUCCESS);
  io.data(8192).fill(0xff);
  assert.equal(
    (await io.run({ ...two, opcode: IoOpcode.READ }, { kind: 'keyed', length: 8192 })).status,
    Status.SUCCESS,
  );
  assert.ok(io.data(8192).every((byte, i) => byte === (i < 10 ? 1 : 0)));
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});

test('a target that is closed while a host comes leaves nobody connected', async (t) => {
  const served = await Served.open(memoryBackend(1 << 20));
  const { accept } = CmIncoming.prototype;
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  t.mock.method(CmIncoming.prototype, 'accept', async function (this: CmIncoming, ...args: never[]) {
    const connection = await Reflect.apply(accept, this, args);
    await gate;
    return connection;
  });
  const queue = await RawQueue.open(devices.host, served.to);
  const closing = served.target.close();
  const isEarly = await within(closing, 100).then(
    () => true,
    () => false,
  );
  goOn();
  await closing;
  assert.equal(isEarly, false);
  await within(queue.connection.ended, SOON_MILLIS);
  await served[Symbol.asyncDispose]();
  await queue[Symbol.asyncDispose]();
});

/** The queues of a target, which tests otherwise know by their hosts alone. */
function queuesOf(t: TestContext): TargetQueue[] {
  const queues: TargetQueue[] = [];
  const { start } = TargetQueue.prototype;
  t.mock.method(TargetQueue.prototype, 'start', function (this: TargetQueue, connection: CmConnection) {
    queues.push(this);
    return Reflect.apply(start, this, [connection]);
  });
  return queues;
}

test('a host whose backend took long has all of its time to take the answer', async (t) => {
  let aheadMillis = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMillis);
  const queues = queuesOf(t);
  const { backend, goOn, calls } = slowBackend();
  await using served = await Served.open(backend);
  using _ = { [Symbol.dispose]: goOn };
  const { io, admin } = await served.host();
  io.send(block(IoOpcode.READ), ONE);
  while (calls.length === 0) await getProperty(admin, Property.CSTS);
  aheadMillis = LIMITS.stallMillis + 1000;
  goOn();
  // The answer is posted in this turn, and completes in a later one.
  for (let i = 0; i < 10; i++) await Promise.resolve();
  assert.equal(queues[1]?.isStalled(performance.now()), false);
  assert.equal((await io.response()).status, Status.SUCCESS);
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});

test('a host that takes nothing is stalled, however much it asks for', async (t) => {
  let aheadMillis = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMillis);
  const queues = queuesOf(t);
  await using served = await Served.open(memoryBackend(1 << 20));
  const { io, admin } = await served.host();
  const qp = queues[1]?.endpoint.qp ?? assert.fail();
  t.mock.method(qp, 'postSend', () => {});
  const before = served.target.counters()['commands'] ?? 0;
  const asks = async (count: number): Promise<void> => {
    io.send({ opcode: IoOpcode.FLUSH, nsid: 1 });
    while ((served.target.counters()['commands'] ?? 0) < before + count) await new Promise(setImmediate);
  };
  await asks(1);
  assert.equal(queues[1]?.isStalled(performance.now()), false);
  aheadMillis = LIMITS.stallMillis + 1000;
  await asks(2);
  assert.equal(queues[1]?.isStalled(performance.now()), true);
  for (const queue of [io, admin]) await queue[Symbol.asyncDispose]();
});
