/** The layouts of NVMe over Fabrics, against bytes that Linux's own host and target sent each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, readCommand, writeCommand } from '../../src/nvme/wire/command.js';
import { readConnectData, writeConnectData } from '../../src/nvme/wire/connect-data.js';
import {
  writeIdentifyController,
  writeIdentifyNamespace,
  writeNamespaceDescriptors,
  writeNamespaceList,
} from '../../src/nvme/wire/identify.js';
import { discoveryPage, effectsPage } from '../../src/nvme/wire/log-pages.js';
import { DISCOVERY_NQN, IoOpcode } from '../../src/nvme/wire/opcodes.js';
import {
  queueReject,
  queueReply,
  queueRequest,
  RejectStatus,
  readQueueRequest,
} from '../../src/nvme/wire/private-data.js';
import { readResponse, writeResponse } from '../../src/nvme/wire/response.js';
import { SglType, writeCapsuleSgl, writeKeyedSgl } from '../../src/nvme/wire/sgl.js';
import { DO_NOT_RETRY, nvmeStatusName, Status } from '../../src/nvme/wire/status.js';
import { readNqn } from '../../src/nvme/wire/text.js';
import { COMMANDS, hex, PAGES, PRIVATE_DATA, page, RESPONSES, viewOf } from './captured.js';

const HOST_NQN = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001';
const DISK_NQN = 'nqn.2026-01.test:disk';

function commandOf(text: string): Command {
  const command = new Command();
  readCommand(viewOf(hex(text)), 0, command);
  return command;
}

test("a read of Linux's host names blocks and memory", () => {
  const { opcode, flags, cid, nsid, sgl, hasKnownSgl, cdw10, cdw11, cdw12 } = commandOf(COMMANDS.read64k);
  assert.deepEqual([opcode, flags, cid, nsid], [IoOpcode.READ, 0x40, 0x38, 1]);
  assert.deepEqual([cdw10, cdw11, cdw12], [128, 0, 127]);
  assert.ok(hasKnownSgl);
  assert.deepEqual(
    [sgl.type, sgl.length, sgl.rkey, sgl.addr],
    [SglType.KEYED_INVALIDATE, 65_536, 0x448c, 0xff2f2148454fa000n],
  );
});

test('an address that numbers hold is a number, and one beyond a bigint', () => {
  const bytes = new Uint8Array(64);
  const view = viewOf(bytes);
  const command = new Command();
  for (const [addr, read] of [
    [0x1f_ffff_ffff_ffffn, Number.MAX_SAFE_INTEGER],
    [0x20_0000_0000_0000n, 0x20_0000_0000_0000n],
    [0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn],
  ] as const) {
    writeKeyedSgl(view, 24, { addr, rkey: 0xfedcba98, length: 0xffffff });
    readCommand(view, 0, command);
    assert.deepEqual([command.sgl.addr, command.sgl.rkey, command.sgl.length], [read, 0xfedcba98, 0xffffff]);
  }
});

test("the Connect of Linux's I/O queue carries its data in the capsule", () => {
  const capsule = page(PAGES.connectIoCapsule);
  const command = new Command();
  readCommand(viewOf(capsule), 0, command);
  assert.deepEqual([command.sgl.type, command.sgl.offset, command.sgl.length], [SglType.IN_CAPSULE, 0, 1024]);
  assert.deepEqual([command.cdw10 >>> 16, command.cdw11 & 0xffff], [1, 127]);
  const { controllerId, subsystemNqn, hostNqn, hostId } = readConnectData(capsule.subarray(64));
  assert.deepEqual([controllerId, subsystemNqn, hostNqn], [1, DISK_NQN, HOST_NQN]);
  assert.equal(hostId, '0'.repeat(31) + 1);
  const written = new Uint8Array(1024);
  writeConnectData(written, {
    hostId: hex(hostId),
    controllerId,
    subsystemNqn: DISK_NQN,
    hostNqn: HOST_NQN,
  });
  assert.deepEqual(written, capsule.subarray(64));
});

test('commands are written as Linux writes them', () => {
  const bytes = new Uint8Array(64);
  const view = viewOf(bytes);
  const at = writeCommand(view, 0, { opcode: IoOpcode.READ, cid: 0x38, nsid: 1, cdw10: 128, cdw12: 127 });
  writeKeyedSgl(view, at, {
    addr: 0xff2f2148454fa000n,
    rkey: 0x448c,
    length: 65_536,
    type: SglType.KEYED_INVALIDATE,
  });
  assert.deepEqual(bytes, hex(COMMANDS.read64k));
  writeCommand(view, 0, { opcode: IoOpcode.FLUSH, cid: 0x3b, nsid: 1 });
  assert.deepEqual(bytes, hex(COMMANDS.flush));
  writeCapsuleSgl(view, 24, 512);
  const command = new Command();
  readCommand(view, 0, command);
  assert.deepEqual([command.sgl.type, command.sgl.offset, command.sgl.length], [SglType.IN_CAPSULE, 0, 512]);
});

test('responses are read and written as Linux writes them', () => {
  const answers = Object.entries(RESPONSES).map(
    ([name, text]) => [name, readResponse(viewOf(hex(text)), 0)] as const,
  );
  for (const [name, answer] of answers) {
    const bytes = new Uint8Array(16);
    writeResponse(viewOf(bytes), answer);
    assert.deepEqual(Buffer.from(bytes).toString('hex'), RESPONSES[name as keyof typeof RESPONSES]);
  }
  const { setQueues, readBeyondTheEnd } = Object.fromEntries(answers);
  assert.deepEqual([setQueues?.resultLow, setQueues?.cid, setQueues?.sqHead], [0x7f007f, 0x1002, 13]);
  // With "more" set: the error log would say more.
  assert.equal(readBeyondTheEnd?.status, 0x2000 | DO_NOT_RETRY | Status.INTERNAL_ERROR);
  assert.equal(nvmeStatusName(DO_NOT_RETRY | Status.LBA_OUT_OF_RANGE), 'LBA_OUT_OF_RANGE');
  assert.equal(nvmeStatusName(0x7ff), 'STATUS_0x7ff');
});

test("private data is that of Linux's host and target", () => {
  const limits = { maxQid: 16, maxEntries: 128 };
  const admin = readQueueRequest(hex(PRIVATE_DATA.requestAdmin), limits);
  const io = readQueueRequest(hex(PRIVATE_DATA.requestIo), limits);
  assert.deepEqual(admin, { qid: 0, hostReceives: 32, entries: 32 });
  assert.deepEqual(io, { qid: 1, hostReceives: 128, entries: 128 });
  assert.deepEqual(queueRequest({ qid: 1, hostReceives: 128, entries: 128 }), hex(PRIVATE_DATA.requestIo));
  assert.deepEqual(queueReply(128), hex(PRIVATE_DATA.replyIo));
  assert.deepEqual(queueReply(32), hex(PRIVATE_DATA.replyAdmin));
  assert.deepEqual(queueReject(RejectStatus.QUEUE_ID), hex('00000300'));
});

test('a queue that cannot be is refused for the field that says so', () => {
  const limits = { maxQid: 2, maxEntries: 64 };
  const fields = { qid: 1, hostReceives: 64, entries: 64 };
  const cases: [Uint8Array, RejectStatus][] = [
    [new Uint8Array(31), RejectStatus.LENGTH],
    [hex('01'.padEnd(64, '0')), RejectStatus.FORMAT],
    [queueRequest({ ...fields, qid: 3 }), RejectStatus.QUEUE_ID],
    [queueRequest({ ...fields, entries: 65 }), RejectStatus.SUBMISSION_QUEUE_SIZE],
    [queueRequest({ ...fields, entries: 1 }), RejectStatus.SUBMISSION_QUEUE_SIZE],
    [queueRequest({ ...fields, entries: 0x1_0000 }), RejectStatus.SUBMISSION_QUEUE_SIZE],
    [queueRequest({ ...fields, qid: 0, entries: 33 }), RejectStatus.SUBMISSION_QUEUE_SIZE],
    [queueRequest({ ...fields, hostReceives: 0 }), RejectStatus.RECEIVE_QUEUE_SIZE],
  ];
  for (const [data, status] of cases) assert.equal(readQueueRequest(data, limits), status);
});

/** What a page of ours has at the places that matter, and a page of nvmet as well. */
function same(
  ours: Uint8Array,
  theirs: Uint8Array,
  ranges: readonly (readonly [at: number, length: number])[],
): void {
  for (const [at, length] of ranges) {
    assert.deepEqual(ours.subarray(at, at + length), theirs.subarray(at, at + length), `at ${at}`);
  }
}

test('what a controller says of itself stands where Linux writes it', () => {
  const ours = new Uint8Array(4096);
  writeIdentifyController(ours, {
    serialNumber: 'QP0001',
    model: 'Linux',
    firmware: '6.1.0-56',
    controllerId: 1,
    subsystemNqn: DISK_NQN,
    isDiscovery: false,
    maxTransferShift: 8,
    asyncEventLimit: 3,
    keepAliveUnits: 10,
    maxCommands: 1024,
    namespaces: 1024,
    optionalCommands: 0x0c,
    inCapsuleBytes: 4096,
  });
  const places = [
    [4, 68],
    [77, 7],
    [96, 4],
    [111, 1],
    [259, 1],
    [320, 2],
    [512, 4],
    [516, 4],
    [520, 2],
    [525, 1],
  ] as const;
  same(ours, page(PAGES.identifyController), [...places, [536, 4], [768, 256], [1792, 12]]);
});

test('what a namespace says of itself stands where Linux writes it', () => {
  const theirs = page(PAGES.identifyNamespace);
  const ours = new Uint8Array(4096);
  writeIdentifyNamespace(ours, {
    blocks: 0x8000,
    blockBytes: 512,
    isThin: false,
    uuid: theirs.slice(104, 120),
  });
  same(ours, theirs, [
    [0, 24],
    [25, 5],
    [30, 1],
    [104, 16],
    [128, 4],
  ]);
  const large = new Uint8Array(4096);
  writeIdentifyNamespace(large, {
    blocks: 2 ** 41 + 5,
    blockBytes: 4096,
    isThin: true,
    uuid: new Uint8Array(16),
  });
  assert.equal(viewOf(large).getBigUint64(0, true), 2n ** 41n + 5n);
  assert.equal(large[130], 12);
});

test('lists and descriptors of namespaces are those of Linux', () => {
  const list = new Uint8Array(4096);
  writeNamespaceList(list, 1, 0);
  assert.deepEqual(list, page(PAGES.namespaceList));
  const after = new Uint8Array(4096);
  writeNamespaceList(after, 3, 1);
  assert.deepEqual([...new Uint32Array(after.buffer, 0, 3)], [2, 3, 0]);
  const theirs = page(PAGES.namespaceDescriptors);
  const descriptors = new Uint8Array(4096);
  writeNamespaceDescriptors(descriptors, theirs.slice(4, 20));
  // Linux tells the command set as well, which only controllers with several have to.
  assert.deepEqual(descriptors.subarray(0, 20), theirs.subarray(0, 20));
});

test('the discovery page is that of Linux', () => {
  const ours = discoveryPage(2, [
    { nqn: DISCOVERY_NQN, host: '10.77.1.2', port: 4420, isDiscovery: true },
    { nqn: DISK_NQN, host: '10.77.1.2', port: 4420, isDiscovery: false },
  ]);
  const theirs = page(PAGES.discoveryLog);
  // It asks for a channel that is secured ("not required"): 1 in TREQ.
  for (const entry of [1024, 2048]) theirs[entry + 3] = ours[entry + 3] as number;
  assert.deepEqual(ours, theirs);
  const [six] = [discoveryPage(1, [{ nqn: DISK_NQN, host: 'fd77::1', port: 4420, isDiscovery: false }])];
  assert.equal(six?.[1025], 2);
});

test('the effects page names what there is where Linux does', () => {
  const ours = viewOf(effectsPage([IoOpcode.FLUSH, IoOpcode.READ, IoOpcode.WRITE]));
  const theirs = viewOf(page(PAGES.effectsLog));
  for (const opcode of [0x02, 0x06, 0x08, 0x09, 0x0c, 0x18]) {
    assert.equal(ours.getUint32(4 * opcode, true) & 1, theirs.getUint32(4 * opcode, true) & 1);
  }
  assert.deepEqual(
    [0, 1, 2, 8].map((opcode) => ours.getUint32(1024 + 4 * opcode, true) & 1),
    [1, 1, 1, 0],
  );
});

test('a name without end, with characters that nobody sees or too long is none', () => {
  const field = new Uint8Array(256);
  const write = (text: string): string | undefined => {
    field.fill(0).set(Buffer.from(text, 'latin1'));
    return readNqn(field, 0);
  };
  assert.equal(write('nqn.x'), 'nqn.x');
  assert.equal(write('n'.repeat(223)), 'n'.repeat(223));
  for (const text of ['', 'n'.repeat(224), 'n'.repeat(256), 'a\nb', 'a b', 'a\x7f', 'a\xe9']) {
    assert.equal(write(text), undefined, text);
  }
});
