/** A target on a soft device, and hosts by hand on another: what every command comes to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { type NvmeTarget, serveNvme } from '../../src/nvme/target/nvme-target.js';
import type { ServeNvmeOptions } from '../../src/nvme/target/options.js';
import { AdminOpcode, DISCOVERY_NQN, Feature, IoOpcode, Property } from '../../src/nvme/wire/opcodes.js';
import type { Response } from '../../src/nvme/wire/response.js';
import { DO_NOT_RETRY, nvmeStatusName, Status } from '../../src/nvme/wire/status.js';
import { pattern } from '../../testkit/craft-packet.js';
import {
  ENABLED,
  getProperty,
  HOST_NQN,
  type QueueOptions,
  RawQueue,
  runConnect,
  setProperty,
  type To,
} from '../../testkit/nvme-raw-host.js';
import { expectEmpty, NQN, placeOf, useDevices } from './disk-world.js';

const PRIVATE_NQN = 'nqn.2026-01.test:private';
const DISK_BYTES = 4 << 20;

let target: NvmeTarget;
let to: To;

const devices = useDevices(
  async () => {
    target = await serve();
    to = await placeOf(devices, target);
  },
  async () => {
    await target.close();
    expectEmpty(devices.target);
  },
);

const serve = (options: Partial<ServeNvmeOptions> = {}): Promise<NvmeTarget> =>
  serveNvme({
    device: devices.target,
    port: 0,
    subsystems: {
      [NQN]: { namespaces: [memoryBackend(DISK_BYTES, { blockBytes: 512 }), memoryBackend(1 << 20)] },
      [PRIVATE_NQN]: { namespaces: [memoryBackend(1 << 20)], allowedHosts: ['nqn.2026-01.test:other'] },
    },
    ...options,
  });

const open = (options?: QueueOptions): Promise<RawQueue> => RawQueue.open(devices.host, to, options);

async function openAdmin(nqn = NQN, keepAliveMillis = 0): Promise<{ admin: RawQueue; controllerId: number }> {
  const admin = await open();
  const connected = await runConnect(admin, { nqn, keepAliveMillis });
  expectStatus(connected, Status.SUCCESS);
  expectStatus(await setProperty(admin, Property.CC, ENABLED), Status.SUCCESS);
  return { admin, controllerId: connected.resultLow };
}

async function openIo(controllerId: number, qid = 1, entries = 16, attributes = 0): Promise<RawQueue> {
  const queue = await open({ qid, entries });
  expectStatus(
    await runConnect(queue, { nqn: NQN, controllerId, inCapsule: true, attributes }),
    Status.SUCCESS,
  );
  return queue;
}

function expectStatus({ status }: Response, wanted: number): void {
  assert.equal(nvmeStatusName(status), nvmeStatusName(wanted));
}

const blocks = (opcode: number, first: number, count: number, nsid = 1, control = 0) => ({
  opcode,
  nsid,
  cdw10: first,
  cdw12: (count - 1) | control,
});

test('a controller comes up by its properties, as Linux brings it up', async () => {
  await using admin = await open();
  expectStatus(await getProperty(admin, Property.CSTS), Status.COMMAND_SEQUENCE_ERROR);
  const { resultLow: controllerId } = await runConnect(admin, { nqn: NQN });
  assert.ok(controllerId > 0);
  const capabilities = await getProperty(admin, Property.CAP, true);
  assert.equal(capabilities.resultLow & 0xffff, 127);
  assert.equal(capabilities.resultHigh, 0x20);
  assert.equal((await getProperty(admin, Property.CSTS)).resultLow, 0);
  await setProperty(admin, Property.CC, ENABLED);
  assert.equal((await getProperty(admin, Property.CSTS)).resultLow, 1);
  assert.equal((await getProperty(admin, Property.VS)).resultLow, 0x00010300);
  expectStatus(await getProperty(admin, Property.CAP), Status.INVALID_FIELD);
  expectStatus(await setProperty(admin, Property.CSTS, 0), Status.INVALID_FIELD);
  await setProperty(admin, Property.CC, ENABLED | 0x4000);
  assert.equal((await getProperty(admin, Property.CSTS)).resultLow & 0x0c, 0x08, 'shut down');
});

test('a controller that is enabled with sizes that do not exist fails', async () => {
  await using admin = await open();
  await runConnect(admin, { nqn: NQN });
  await setProperty(admin, Property.CC, 0x0055_0001);
  assert.equal((await getProperty(admin, Property.CSTS)).resultLow, 2);
  expectStatus(await admin.run({ opcode: AdminOpcode.IDENTIFY, cdw10: 1 }), Status.COMMAND_SEQUENCE_ERROR);
});

test('IDENTIFY, log pages and features answer with their pages, and refuse what does not exist', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  const identify = (cdw10: number, nsid = 0, length = 4096): Promise<Response> =>
    admin.run({ opcode: AdminOpcode.IDENTIFY, nsid, cdw10 }, { kind: 'keyed', length });
  const view = new DataView(admin.data(4096).buffer, admin.data(4096).byteOffset, 4096);
  expectStatus(await identify(1), Status.SUCCESS);
  assert.equal(view.getUint16(78, true), controllerId);
  assert.equal(view.getUint32(1792, true), 260);
  expectStatus(await identify(2), Status.SUCCESS);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)], [1, 2, 0]);
  expectStatus(await identify(0, 1), Status.SUCCESS);
  assert.equal(view.getUint32(0, true), DISK_BYTES / 512);
  expectStatus(await identify(0, 9), Status.SUCCESS);
  assert.ok(admin.data(4096).every((byte) => byte === 0));
  expectStatus(await identify(3, 2), Status.SUCCESS);
  assert.equal(view.getUint8(0), 3);
  expectStatus(await identify(3, 3), Status.INVALID_NAMESPACE);
  expectStatus(await identify(0x1c), Status.INVALID_FIELD);
  expectStatus(await identify(1, 0, 512), Status.SGL_DATA_LENGTH_INVALID);
  const log = (id: number, length: number): Promise<Response> =>
    admin.run(
      { opcode: AdminOpcode.GET_LOG_PAGE, cdw10: id | ((length / 4 - 1) << 16) },
      { kind: 'keyed', length },
    );
  expectStatus(await log(5, 4096), Status.SUCCESS);
  assert.equal(view.getUint32(1024 + 4, true), 3, 'WRITE exists and changes blocks');
  admin.data(8192).fill(0xff);
  expectStatus(await log(5, 8192), Status.SUCCESS);
  assert.ok(
    admin
      .data(8192)
      .subarray(4096)
      .every((byte) => byte === 0),
    'what is asked for beyond the page is zeros',
  );
  expectStatus(await log(2, 512), Status.SUCCESS);
  expectStatus(await log(3, 512), Status.SUCCESS);
  expectStatus(await log(1, 4096), Status.SUCCESS);
  expectStatus(await log(0x0c, 512), Status.INVALID_LOG_PAGE);
  expectStatus(await log(0x70, 1024), Status.INVALID_LOG_PAGE);
  const set = (cdw10: number, cdw11: number): Promise<Response> =>
    admin.run({ opcode: AdminOpcode.SET_FEATURES, cdw10, cdw11 });
  assert.equal((await set(Feature.NUMBER_OF_QUEUES, 0)).resultLow, 0x000f_000f);
  assert.equal((await set(Feature.ASYNC_EVENTS, 0x100)).resultLow, 0x100);
  expectStatus(await set(0x7f, 0), Status.INVALID_FIELD);
  const get = await admin.run({ opcode: AdminOpcode.GET_FEATURES, cdw10: Feature.VOLATILE_WRITE_CACHE });
  assert.equal(get.resultLow, 1);
  expectStatus(await admin.run({ opcode: AdminOpcode.KEEP_ALIVE }), Status.SUCCESS);
  expectStatus(await admin.run({ opcode: 0xc5 }), Status.INVALID_OPCODE);
});

test('four event requests are held, and a fifth is one too many', async () => {
  const { admin } = await openAdmin();
  await using _ = admin;
  for (let i = 0; i < 4; i++) admin.send({ opcode: AdminOpcode.ASYNC_EVENT_REQUEST });
  const cid = admin.send({ opcode: AdminOpcode.ASYNC_EVENT_REQUEST });
  const response = await admin.response();
  assert.equal(response.cid, cid);
  expectStatus(response, Status.ASYNC_EVENT_LIMIT_EXCEEDED);
});

test('data goes to the disk and comes back: in the capsule, by READ and by WRITE', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId);
  const small = pattern(512);
  expectStatus(await io.run(blocks(IoOpcode.WRITE, 5, 1), { kind: 'capsule', bytes: small }), Status.SUCCESS);
  const large = pattern(1 << 20);
  io.data(large.length).set(large);
  const all = { kind: 'keyed', length: large.length } as const;
  expectStatus(await io.run(blocks(IoOpcode.WRITE, 100, 2048, 1, 1 << 30), all), Status.SUCCESS);
  expectStatus(await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 }), Status.SUCCESS);
  expectStatus(await io.run({ opcode: IoOpcode.FLUSH, nsid: 0xffff_ffff }), Status.SUCCESS);
  io.data(large.length).fill(0);
  expectStatus(await io.run(blocks(IoOpcode.READ, 100, 2048), all), Status.SUCCESS);
  assert.deepEqual(Buffer.from(io.data(large.length)), Buffer.from(large));
  expectStatus(await io.run(blocks(IoOpcode.READ, 5, 1), { kind: 'keyed', length: 512 }), Status.SUCCESS);
  assert.deepEqual(Buffer.from(io.data(512)), Buffer.from(small));
  expectStatus(await io.run(blocks(IoOpcode.WRITE_ZEROES, 100, 2)), Status.SUCCESS);
  expectStatus(await io.run(blocks(IoOpcode.READ, 101, 2), { kind: 'keyed', length: 1024 }), Status.SUCCESS);
  assert.ok(io.data(512).every((byte) => byte === 0));
  assert.deepEqual(Buffer.from(io.data(512, 512)), Buffer.from(large.subarray(1024, 1536)));
  // The acknowledgement of a response may come after the next command.
  while (target.counters()['buffersInUse'] !== 0) await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 });
});

test('a trim clears its ranges, and refuses one that leaves the namespace', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId);
  const bytes = pattern(1024);
  expectStatus(await io.run(blocks(IoOpcode.WRITE, 0, 2), { kind: 'capsule', bytes }), Status.SUCCESS);
  const ranges = new Uint8Array(32);
  const view = new DataView(ranges.buffer);
  view.setUint32(4, 1, true);
  view.setUint32(16 + 4, 1, true);
  view.setUint32(16 + 8, 1, true);
  const trim = { opcode: IoOpcode.DATASET_MANAGEMENT, nsid: 1, cdw10: 1, cdw11: 4 };
  expectStatus(await io.run(trim, { kind: 'capsule', bytes: ranges }), Status.SUCCESS);
  expectStatus(await io.run(blocks(IoOpcode.READ, 0, 2), { kind: 'keyed', length: 1024 }), Status.SUCCESS);
  assert.ok(io.data(1024).every((byte) => byte === 0));
  view.setUint32(16 + 8, DISK_BYTES / 512, true);
  const { status } = await io.run(trim, { kind: 'capsule', bytes: ranges });
  assert.equal(status, Status.LBA_OUT_OF_RANGE | DO_NOT_RETRY);
});

test('a command that asks for what is not there gets the status that says so, and the next one works', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId);
  const last = DISK_BYTES / 512;
  const page = { kind: 'keyed', length: 4096 } as const;
  const spoil = (at: number, byte: number) => (view: DataView) => view.setUint8(at, byte);
  const cases: [string, number, Promise<Response> | (() => Promise<Response>)][] = [
    ['beyond the end', Status.LBA_OUT_OF_RANGE, () => io.run(blocks(IoOpcode.READ, last - 7, 8), page)],
    [
      '2^64',
      Status.LBA_OUT_OF_RANGE,
      () => io.run({ ...blocks(IoOpcode.READ, 0xffff_ffff, 8), cdw11: 0xffff_ffff }, page),
    ],
    ['no such namespace', Status.INVALID_NAMESPACE, () => io.run(blocks(IoOpcode.READ, 0, 8, 3), page)],
    ['namespace 0', Status.INVALID_NAMESPACE, () => io.run(blocks(IoOpcode.READ, 0, 8, 0), page)],
    ['too short', Status.SGL_DATA_LENGTH_INVALID, () => io.run(blocks(IoOpcode.READ, 0, 9), page)],
    ['too long', Status.SGL_DATA_LENGTH_INVALID, () => io.run(blocks(IoOpcode.WRITE, 0, 7), page)],
    [
      'too large',
      Status.INVALID_FIELD,
      () => io.run(blocks(IoOpcode.READ, 0, 4096), { kind: 'keyed', length: 2 << 20 }),
    ],
    ['PRP', Status.INVALID_FIELD, () => io.run(blocks(IoOpcode.READ, 0, 8), page, spoil(1, 0))],
    ['fused', Status.INVALID_FIELD, () => io.run(blocks(IoOpcode.READ, 0, 8), page, spoil(1, 0x41))],
    ['bit bucket', Status.SGL_TYPE_INVALID, () => io.run(blocks(IoOpcode.READ, 0, 8), page, spoil(39, 0x10))],
    [
      'read into the capsule',
      Status.SGL_TYPE_INVALID,
      () => io.run(blocks(IoOpcode.READ, 0, 1), { kind: 'capsule', bytes: new Uint8Array(512) }),
    ],
    [
      'capsule too short',
      Status.SGL_OFFSET_INVALID,
      () =>
        io.run(blocks(IoOpcode.WRITE, 0, 1), { kind: 'capsule', bytes: new Uint8Array(511), length: 512 }),
    ],
    [
      'offset behind the capsule',
      Status.SGL_OFFSET_INVALID,
      () =>
        io.run(blocks(IoOpcode.WRITE, 0, 1), { kind: 'capsule', bytes: new Uint8Array(512) }, spoil(24, 1)),
    ],
    ['opcode', Status.INVALID_OPCODE, () => io.run({ opcode: 0x7e, nsid: 1 })],
    ['Connect again', Status.INVALID_OPCODE, () => runConnect(io, { nqn: NQN, controllerId })],
  ];
  for (const [name, status, run] of cases) {
    const response = await (typeof run === 'function' ? run() : run);
    assert.deepEqual([name, nvmeStatusName(response.status)], [name, nvmeStatusName(status)]);
    assert.notEqual(response.status & DO_NOT_RETRY, 0, name);
  }
  expectStatus(await io.run(blocks(IoOpcode.READ, 0, 8), page), Status.SUCCESS);
});

test('the head of the submission queue counts, unless the host wants no flow control', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId, 1, 4);
  await using free = await openIo(controllerId, 2, 4, 4);
  const heads: number[] = [];
  for (let i = 0; i < 5; i++) heads.push((await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 })).sqHead);
  assert.deepEqual(heads, [2, 3, 0, 1, 2]);
  const answer = await free.run({ opcode: IoOpcode.FLUSH, nsid: 1 });
  assert.deepEqual([answer.sqHead, answer.sqId], [0xffff, 2]);
});

test('as many commands as the queue has entries are answered, in any order', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId, 1, 64);
  const sent = new Set<number>();
  for (let round = 0; round < 20; round++) {
    while (sent.size < 63)
      sent.add(
        io.send(blocks(IoOpcode.READ, sent.size, 8), { kind: 'keyed', length: 4096, at: 4096 * sent.size }),
      );
    for (let i = 0; i < 40; i++) {
      const { cid, status } = await io.response();
      assert.equal(status, Status.SUCCESS);
      assert.ok(sent.delete(cid));
    }
  }
});

test('Connect is refused with the field that is wrong', async () => {
  const inData = 1 << 16;
  await using queue = await open();
  const cases = [
    [{ nqn: 'nqn.2026-01.test:none' }, Status.CONNECT_INVALID_PARAMETERS, 256 | inData],
    [{ nqn: NQN, hostNqn: 'a b' }, Status.CONNECT_INVALID_PARAMETERS, 512 | inData],
    [{ nqn: PRIVATE_NQN }, Status.CONNECT_INVALID_HOST, 0],
    [{ nqn: NQN, controllerId: 1 }, Status.CONNECT_INVALID_PARAMETERS, 16 | inData],
    [{ nqn: NQN, qid: 1 }, Status.CONNECT_INVALID_PARAMETERS, 42],
    [{ nqn: NQN, entries: 33 }, Status.CONNECT_INVALID_PARAMETERS, 44],
    [{ nqn: NQN, entries: 1 }, Status.CONNECT_INVALID_PARAMETERS, 44],
  ] as const;
  for (const [fields, status, result] of cases) {
    const response = await runConnect(queue, fields);
    assert.deepEqual([nvmeStatusName(response.status), response.resultLow], [nvmeStatusName(status), result]);
  }
  expectStatus(await runConnect(queue, { nqn: NQN }), Status.SUCCESS);
  expectStatus(await runConnect(queue, { nqn: NQN }), Status.COMMAND_SEQUENCE_ERROR);
});

test('an I/O queue belongs to the host of its controller, and exists once', async () => {
  const { admin, controllerId } = await openAdmin();
  await using _ = admin;
  await using io = await openIo(controllerId);
  await using second = await open({ qid: 1, entries: 16 });
  expectStatus(await runConnect(second, { nqn: NQN, controllerId }), Status.COMMAND_SEQUENCE_ERROR);
  await using third = await open({ qid: 2, entries: 16 });
  for (const stranger of [
    { hostNqn: `${HOST_NQN}2` },
    { hostId: Buffer.alloc(16) },
    { controllerId: 4242 },
  ]) {
    const response = await runConnect(third, { nqn: NQN, controllerId, ...stranger });
    assert.equal(response.resultLow, 16 | (1 << 16));
  }
  expectStatus(await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 }), Status.SUCCESS);
});

test('a discovery controller names the subsystems that the host may have', async () => {
  const { admin } = await openAdmin(DISCOVERY_NQN);
  await using _ = admin;
  const length = 3072;
  const log = { opcode: AdminOpcode.GET_LOG_PAGE, cdw10: 0x70 | ((length / 4 - 1) << 16) };
  expectStatus(await admin.run(log, { kind: 'keyed', length }), Status.SUCCESS);
  const page = Buffer.from(admin.data(length));
  assert.equal(page.readUInt32LE(8), 2, 'one is not for this host');
  const text = (at: number): string => page.toString('latin1', at, page.indexOf(0, at));
  assert.deepEqual([text(1024 + 256), text(2048 + 256)], [DISCOVERY_NQN, NQN]);
  assert.deepEqual([text(2048 + 512), text(2048 + 32)], ['127.0.0.3', String(to.port)]);
});
