/** Corners that ordinary traffic seldom meets: where PSNs wrap, memory that goes away amid a message, repeats amid answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executeAtomic } from '../../src/roce/qp/atomics.js';
import { Window } from '../../src/roce/qp/bind-request.js';
import { ResponseKind, ResponseQueue } from '../../src/roce/qp/response-queue.js';
import { Retransmissions } from '../../src/roce/qp/retransmissions.js';
import { SavedOperation, SavedOperations } from '../../src/roce/qp/saved-operations.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { pattern } from '../../testkit/craft-packet.js';
import { HandPeer } from '../../testkit/hand-peer.js';

const MTU = 256;
const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;
const NAK_SEQ = 0x60;
const RNR = 0x20;

// --- PSNs that wrap -----------------------------------------------------------------------------------------------------

test('what the peer has reached goes on behind the wrap, by NAKs and by progress', () => {
  const sent = new Retransmissions();
  sent.start(0xfffffe);
  assert.equal(sent.reach(0xffffff), true);
  assert.equal(sent.reach(0), true);
  assert.equal(sent.reach(0), false, 'no news');
  assert.equal(sent.reach(0xffffff), false, 'before the wrap is behind');
  sent.start(0xffffff);
  sent.onProgress(0);
  assert.equal(sent.reach(0), false, 'progress has told so');
  sent.onProgress(2);
  assert.equal(sent.reach(2), false);
  assert.equal(sent.reach(3), true);
});

test('a gap ends behind the furthest packet that was dropped, also where that is the last PSN', () => {
  for (const furthest of [2, 3, 4]) {
    // PSN 3 of this peer is 0xffffff, PSN 4 is 0.
    const peer = new HandPeer({ mtu: MTU, psns: [0xfffffc, 0x123456] });
    for (let id = 0; id < 8; id++) peer.side.postRecv(id, peer.side.region(8).region);
    const sendOnly = (psn: number): string => peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq: true });
    sendOnly(Math.max(1, furthest - 2));
    sendOnly(furthest);
    // The NAK has not left: it moves forward as long as something is missing, and is an ACK then.
    for (let psn = 0; psn < furthest; psn++) sendOnly(psn);
    assert.deepEqual(peer.take(), [`NAK_SEQ ${furthest} msn ${furthest}`]);
    sendOnly(furthest);
    assert.deepEqual(peer.take(), [`ACK ${furthest} msn ${furthest + 1}`]);
  }
});

// --- memory that goes away ----------------------------------------------------------------------------------------------

test('the windows of a queue pair that is destroyed grant nothing more', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region } = peer.side.region(16, AccessFlags.LOCAL_WRITE | AccessFlags.MW_BIND);
  const rkey = peer.nic.regions.reserveKey();
  const window = new Window(peer.side.pd, rkey);
  const bind = { mw: window, mr: region, offset: 0, length: 16, access: AccessFlags.REMOTE_READ, rkey };
  peer.side.post({ opcode: WrOpcode.BIND_MW, wrId: 1, bind });
  peer.take();
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
  assert.notEqual(peer.nic.regions.findGrant(rkey), undefined);
  peer.nic.destroyQp(peer.qp, 0);
  assert.equal(peer.nic.regions.findGrant(rkey), undefined);
  assert.equal(window.grant?.usable ?? false, false);
});

test('a request whose region is deregistered between two packets sends no more of it', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region } = peer.side.region(3 * MTU, 0, 1);
  peer.side.send(1, region);
  assert.equal(peer.takeOne(), 'SEND_FIRST 0');
  peer.nic.regions.deregister(region);
  assert.deepEqual(peer.take(), []);
  assert.deepEqual(peer.sendStatuses(), ['1:LOC_PROT_ERR']);
});

test('a receive whose region is deregistered between two packets takes no more of the message', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region } = peer.side.region(2 * MTU);
  const { bytes } = region;
  peer.side.postRecv(1, region);
  peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payload: pattern(MTU, 1) });
  peer.nic.regions.deregister(region);
  const reason = peer.give({ opcode: Opcode.RC_SEND_LAST, psn: 1, ackReq: true, payload: pattern(MTU, 1) });
  assert.equal(reason, 'receive_protection');
  assert.deepEqual(peer.recvStatuses(), ['1:LOC_PROT_ERR']);
  assert.deepEqual(bytes.subarray(MTU), new Uint8Array(MTU));
});

test('a WRITE through a window that is invalidated between two packets is refused from there on', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region } = peer.side.region(2 * MTU, AccessFlags.LOCAL_WRITE | AccessFlags.MW_BIND);
  const rkey = peer.nic.regions.reserveKey();
  const window = new Window(peer.side.pd, rkey);
  const bind = { mw: window, mr: region, offset: 0, length: 2 * MTU, access: AccessFlags.REMOTE_WRITE, rkey };
  peer.side.post({ opcode: WrOpcode.BIND_MW, wrId: 1, bind });
  peer.take();
  const reth = { va: region.va, rkey, length: 2 * MTU };
  assert.equal(peer.give({ opcode: Opcode.RC_WRITE_FIRST, psn: 0, payload: pattern(MTU, 1), reth }), '');
  assert.equal(peer.qp.invalidate(rkey), true);
  const last = peer.give({ opcode: Opcode.RC_WRITE_LAST, psn: 1, ackReq: true, payload: pattern(MTU, 1) });
  assert.equal(last, 'remote_access');
  assert.deepEqual(region.bytes.subarray(MTU), new Uint8Array(MTU));
});

// --- numbers ------------------------------------------------------------------------------------------------------------

test('a fetch-and-add carries from the low half into the high one, and wraps at 2^64', () => {
  const high = (value: bigint): number => Number(value >> 32n);
  const low = (value: bigint): number => Number(value & 0xffffffffn);
  for (const [before, add, after] of [
    [0xffffffffn, 1n, 0x100000000n],
    [0x1ffffffffn, 0xffffffffn, 0x2fffffffen],
    [0xffffffffffffffffn, 1n, 0n],
    [0x80000000n, 0x7fffffffn, 0xffffffffn],
  ] as const) {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, before, true);
    const saved = new SavedOperation();
    executeAtomic(saved, new Uint8Array(view.buffer), 0, false, high(add), low(add), 0, 0);
    assert.equal(view.getBigUint64(0, true), after, `${before} + ${add}`);
    assert.deepEqual([saved.originalHigh, saved.originalLow], [high(before), low(before)]);
  }
});

test('a WRITE of 2^31 bytes, the longest message, begins; one byte more is an invalid request', () => {
  const bytes = new Uint8Array(2 ** 31 + 1);
  for (const [length, reason] of [
    [2 ** 31, ''],
    [2 ** 31 + 1, 'bad_reth'],
  ] as const) {
    const peer = new HandPeer({ mtu: MTU });
    const { region, grant } = peer.nic.regions.register(bytes, ALL, peer.side.pd);
    const reth = { va: region.va, rkey: grant?.rkey ?? 0, length };
    const given = { opcode: Opcode.RC_WRITE_FIRST, psn: 0, payload: pattern(MTU, 1), reth };
    assert.equal(peer.give(given), reason);
  }
});

// --- answers ------------------------------------------------------------------------------------------------------------

test('a responder that is to remember fewer operations keeps the newest', () => {
  const saved = new SavedOperations(4);
  for (let psn = 10; psn < 16; psn++) {
    const operation = saved.reserve() as SavedOperation;
    operation.firstPsn = psn;
    operation.packets = 1;
  }
  saved.resize(2);
  assert.deepEqual(
    [12, 13, 14, 15].map((psn) => saved.find(psn)?.firstPsn ?? -1),
    [-1, -1, 14, 15],
  );
});

test('behind a READ of several packets that filled a gap, the next gap gets a NAK of its own', () => {
  const peer = new HandPeer({ mtu: MTU });
  const { region, grant } = peer.side.region(3 * MTU, ALL, 1);
  const reth = { va: region.va, rkey: grant.rkey, length: 3 * MTU };
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 5, ackReq: true });
  assert.deepEqual(peer.take(), ['NAK_SEQ 0 msn 0']);
  peer.give({ opcode: Opcode.RC_READ_REQUEST, psn: 0, ackReq: true, reth });
  assert.equal(peer.take().length, 3);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 5, ackReq: true });
  assert.deepEqual(peer.take(), ['NAK_SEQ 3 msn 1']);
});

test('a READ answer that waits is not cut short by a repeat that asks for its beginning only', () => {
  const queue = new ResponseQueue(8);
  const operation = new SavedOperation();
  operation.firstPsn = 7;
  queue.pushOperation(ResponseKind.READ, operation, 4 * MTU);
  queue.repeat(ResponseKind.READ, operation, 7, 0, MTU);
  assert.deepEqual([queue.first.startOffset, queue.first.length], [0, 4 * MTU]);
  queue.first.sentBytes = 2 * MTU;
  queue.repeat(ResponseKind.READ, operation, 8, MTU, MTU);
  const { psn, startOffset, length } = queue.first;
  assert.deepEqual([psn, startOffset, length], [8, MTU, 3 * MTU]);
});

// --- the requester ------------------------------------------------------------------------------------------------------

test('inline data of requests that wait is each its own', () => {
  const peer = new HandPeer({ mtu: MTU });
  const texts = ['one', 'another', 'a third', 'the last'];
  for (const [wrId, text] of texts.entries()) {
    peer.qp.postSend({ wrId, opcode: WrOpcode.SEND, inlineData: Buffer.from(text) });
  }
  const sent = peer
    .takePackets()
    .map(({ bytes, packet }) =>
      Buffer.from(bytes.subarray(packet.payloadAt, packet.payloadAt + packet.payloadLength)),
    );
  assert.deepEqual(sent.map(String), texts);
});

test('one NAK that comes twice is acted on once', () => {
  const peer = new HandPeer({ mtu: MTU, attributes: { retryCount: 1 } });
  const { region } = peer.side.region(8, 0, 1);
  const nak = (): string => peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 1, aeth: { syndrome: NAK_SEQ } });
  const ack = (psn: number): string =>
    peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn, aeth: { syndrome: 0x1f } });
  // A path of 100 µs.
  peer.side.send(9, region);
  peer.take();
  peer.wait(100);
  ack(0);
  for (const id of [1, 2, 3]) peer.side.send(id, region);
  peer.take();
  peer.wait(100);
  assert.equal(nak(), '');
  assert.equal(peer.take().length, 3);
  assert.equal(nak(), 'stale_response');
  assert.deepEqual(peer.take(), []);
  assert.equal(nak(), 'stale_response');
  ack(3);
  assert.deepEqual(peer.sendStatuses(), ['9:SUCCESS', '1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
});

test('no timeout ends in the pause that the peer asked for, however long that is', () => {
  // RNR code 0 asks for 655 ms; timeout 8 is 1 ms, and there is no retry.
  const peer = new HandPeer({ mtu: MTU, attributes: { timeout: 8, retryCount: 0, rnrRetry: 7 } });
  const { region } = peer.side.region(8, 0, 1);
  peer.side.send(1, region);
  peer.take();
  peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: RNR } });
  peer.wait(655_000);
  assert.deepEqual(peer.sendStatuses(), []);
  assert.equal(peer.nic.counters.timeouts, 0);
  peer.wait(500);
  assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack']);
  peer.wait(2000);
  assert.deepEqual(peer.sendStatuses(), ['1:RETRY_EXC_ERR'], 'behind the pause it runs again');
});

test('a sequence NAK in a pause says nothing new: sending goes on at the packet that was refused, and no retry is lost', () => {
  const peer = new HandPeer({ mtu: MTU, attributes: { retryCount: 0, rnrRetry: 7 } });
  const { region } = peer.side.region(8, AccessFlags.LOCAL_WRITE, 1);
  peer.side.post({ opcode: WrOpcode.RDMA_READ, wrId: 1 }, [region, 0, 8]);
  peer.side.send(2, region);
  peer.take();
  // The READ was carried out, but its answer is lost: what the peer says of the past can still name it.
  peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 1, aeth: { syndrome: RNR | 1 } });
  const nak = { opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: NAK_SEQ } };
  assert.equal(peer.give(nak), 'stale_response');
  assert.deepEqual(peer.sendStatuses(), []);
  peer.wait(10);
  assert.deepEqual(peer.take(), ['SEND_ONLY 1 ack']);
});
