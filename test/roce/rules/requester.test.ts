/** The requester: PSNs, AckReq, what an answer completes, going back, retries, READ limits, FENCE. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BindRequest, Window } from '../../../src/roce/qp/bind-request.js';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import type { QpAttributes } from '../../../src/verbs/qp-attributes.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { HandPeer } from '../../../testkit/hand-peer.js';

const MTU = 256;
const ACK = 0x1f;
const NAK_SEQ = 0x60;
const RNR = 0x20;
const REMOTE_VA = 0x10000;

const newPeer = (attributes: Partial<QpAttributes> = {}): HandPeer => new HandPeer({ mtu: MTU, attributes });

function answer(peer: HandPeer, psn: number, syndrome = ACK): string {
  return peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn, aeth: { syndrome } });
}

function send(peer: HandPeer, wrId: number, length = 8): void {
  peer.side.send(wrId, peer.side.region(length, 0, wrId).region);
}

function read(peer: HandPeer, wrId: number, length: number, fence = false): Uint8Array {
  const { region } = peer.side.region(length);
  const target = { remoteVa: REMOTE_VA, rkey: 7, fence };
  peer.side.post({ opcode: WrOpcode.RDMA_READ, wrId, ...target }, [region, 0, length]);
  return region.bytes;
}

function atomic(peer: HandPeer, wrId: number): Uint8Array {
  const { region } = peer.side.region(8);
  const target = { remoteVa: REMOTE_VA, rkey: 7, compareAdd: 1n };
  peer.side.post({ opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, wrId, ...target }, [region, 0, 8]);
  return region.bytes;
}

function binding(peer: HandPeer): BindRequest {
  const { region } = peer.side.region(16, AccessFlags.LOCAL_WRITE | AccessFlags.MW_BIND);
  const rkey = peer.nic.regions.reserveKey();
  const window = new Window(peer.side.pd, rkey);
  return { mw: window, mr: region, offset: 0, length: 16, access: AccessFlags.REMOTE_READ, rkey };
}

function data(peer: HandPeer, opcode: number, psn: number, payload: Uint8Array): string {
  const hasAeth = opcode !== Opcode.RC_READ_RESPONSE_MIDDLE;
  return peer.give({ opcode, psn, payload, ...(hasAeth ? { aeth: { syndrome: ACK } } : {}) });
}

// --- PSNs and AckReq --------------------------------------------------------------------------------------------------

test('each SEND or WRITE packet takes one PSN, an atomic one, a READ as many as its answer has packets', () => {
  const peer = newPeer({ maxRdAtomic: 8 });
  const { region } = peer.side.region(2 * MTU + 1, 0, 1);
  peer.side.send(1, region);
  const remote = { remoteVa: REMOTE_VA, rkey: 7 };
  peer.side.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 2, ...remote }, [region, 0, MTU]);
  read(peer, 3, 3 * MTU);
  read(peer, 4, 0);
  atomic(peer, 5);
  send(peer, 6);
  assert.deepEqual(peer.take(REMOTE_VA), [
    'SEND_FIRST 0',
    'SEND_MIDDLE 1',
    'SEND_LAST 2 ack',
    'WRITE_ONLY 3 va+0 256 ack',
    'READ_REQUEST 4 va+0 768 ack',
    'READ_REQUEST 7 va+0 0 ack',
    'FETCH_ADD 8 ack',
    'SEND_ONLY 9 ack',
  ]);
});

test('AckReq is set on the last packet of every message, and now and then inside of a long one', () => {
  const peer = newPeer();
  send(peer, 1, 60 * MTU);
  const packets: string[] = [];
  for (let round = 0; round < 40; round++) {
    const fresh = peer.take();
    packets.push(...fresh);
    if (fresh.length > 0) answer(peer, packets.length - 1);
  }
  assert.equal(packets.length, 60);
  assert.match(packets.at(-1) ?? '', /SEND_LAST 59 ack/);
  const inside = packets.slice(0, -1).filter((packet) => packet.endsWith('ack')).length;
  assert.equal(inside >= 2 && inside < 40, true, `${inside} of the packets inside ask for an ACK`);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});

test('PSNs wrap in the middle of a message', () => {
  const peer = new HandPeer({ mtu: MTU, psns: [0, 0xffffff] });
  send(peer, 1, 3 * MTU);
  assert.deepEqual(
    peer.takePackets().map((item) => item.packet.psn),
    [0xffffff, 0, 1],
  );
  assert.equal(answer(peer, 2), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});

// --- what an ACK completes --------------------------------------------------------------------------------------------

test('an ACK acknowledges all packets up to its PSN: messages that end there complete, others do not', () => {
  const peer = newPeer();
  send(peer, 1);
  send(peer, 2, 2 * MTU);
  send(peer, 3);
  peer.take();
  assert.equal(answer(peer, 1), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
  assert.equal(answer(peer, 3), '');
  assert.deepEqual(peer.sendStatuses(), ['2:SUCCESS', '3:SUCCESS']);
});

test('an ACK counts only inside [oldest unacknowledged, last sent]: ghosts are counted and have no effect', () => {
  const peer = newPeer();
  assert.equal(answer(peer, 0), 'ghost_ack', 'before anything was sent');
  send(peer, 1);
  send(peer, 2);
  peer.take();
  assert.equal(answer(peer, 2), 'ghost_ack', 'the first PSN that was not sent');
  assert.equal(answer(peer, 0x700000), 'ghost_ack');
  assert.equal(answer(peer, -1), 'stale_response');
  assert.equal(answer(peer, 2, 0x62), 'ghost_ack', 'a fatal NAK too');
  assert.equal(answer(peer, -1, 0x61), 'stale_response');
  assert.deepEqual(peer.sendStatuses(), []);
  assert.equal(peer.qp.state, QpState.RTS);
  assert.equal(answer(peer, 0), '');
  assert.equal(answer(peer, 0), 'stale_response', 'the same one again');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});

test('an ACK beyond a pending READ never completes it: the answer was lost, so it is asked for again', () => {
  const peer = newPeer();
  send(peer, 1);
  const bytes = read(peer, 2, 2 * MTU);
  send(peer, 3);
  peer.take();
  assert.equal(answer(peer, 3), 'response_gap');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS'], 'what lies before the READ is acknowledged');
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 1 va+0 512 ack', 'SEND_ONLY 3 ack']);
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_FIRST, 1, pattern(MTU, 1)), '');
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_LAST, 2, pattern(MTU, 2)), '');
  assert.equal(answer(peer, 3), '');
  assert.deepEqual(peer.sendStatuses(), ['2:SUCCESS', '3:SUCCESS']);
  assert.deepEqual(bytes, Uint8Array.from([...pattern(MTU, 1), ...pattern(MTU, 2)]));
});

test('an ACK beyond a pending atomic never completes it either', () => {
  const peer = newPeer();
  atomic(peer, 1);
  send(peer, 2);
  peer.take();
  assert.equal(answer(peer, 1), 'response_gap');
  assert.deepEqual(peer.sendStatuses(), []);
  assert.deepEqual(peer.take(), ['FETCH_ADD 0 ack', 'SEND_ONLY 1 ack']);
  const result = { opcode: Opcode.RC_ATOMIC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: ACK }, original: 41 };
  assert.equal(peer.give(result), '');
  assert.equal(answer(peer, 1), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS']);
});

test('the answer of a READ or atomic acknowledges everything before it', () => {
  const peer = newPeer();
  send(peer, 1);
  read(peer, 2, 4);
  send(peer, 3);
  atomic(peer, 4);
  peer.take();
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_ONLY, 1, pattern(4)), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS']);
  const result = { opcode: Opcode.RC_ATOMIC_ACKNOWLEDGE, psn: 3, aeth: { syndrome: ACK }, original: 1 };
  assert.equal(peer.give(result), '');
  assert.deepEqual(peer.sendStatuses(), ['3:SUCCESS', '4:SUCCESS']);
});

test('a NAK acknowledges everything before its PSN, and sending goes on from there', () => {
  const peer = newPeer();
  for (const id of [1, 2, 3]) send(peer, id);
  peer.take();
  assert.equal(answer(peer, 1, NAK_SEQ), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
  assert.deepEqual(peer.take(), ['SEND_ONLY 1 ack', 'SEND_ONLY 2 ack']);
});

test('a fatal NAK acknowledges everything before it, fails its own request and flushes the rest', () => {
  const peer = newPeer();
  for (const id of [1, 2, 3]) send(peer, id);
  peer.take();
  assert.equal(answer(peer, 1, 0x62), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:REM_ACCESS_ERR', '3:WR_FLUSH_ERR']);
  assert.equal(peer.qp.state, QpState.ERR);
});

test('a READ without an answer before a request that is refused is flushed: nobody knows what became of it', () => {
  const peer = newPeer();
  read(peer, 1, 8);
  send(peer, 2);
  send(peer, 3);
  peer.take();
  assert.equal(answer(peer, 1, 0x61), '');
  assert.deepEqual(peer.sendStatuses(), ['1:WR_FLUSH_ERR', '2:REM_INV_REQ_ERR', '3:WR_FLUSH_ERR']);
});

// --- READ answers -----------------------------------------------------------------------------------------------------

test('READ answers must come in order; a gap asks again from the first missing packet, with address and length moved', () => {
  const peer = newPeer();
  const bytes = read(peer, 1, 4 * MTU);
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 0 va+0 1024 ack']);
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_FIRST, 0, pattern(MTU, 1)), '');
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_MIDDLE, 2, pattern(MTU, 3)), 'response_gap');
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 1 va+256 768 ack']);
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_LAST, 3, pattern(MTU, 4)), 'response_gap');
  assert.deepEqual(peer.take(), [], 'a gap is asked for once');
  assert.deepEqual(bytes.subarray(MTU), new Uint8Array(3 * MTU), 'nothing is stored out of order');
});

test('a resumed READ is accepted with MIDDLE and LAST first, and with FIRST first', () => {
  for (const resumed of [Opcode.RC_READ_RESPONSE_MIDDLE, Opcode.RC_READ_RESPONSE_FIRST]) {
    const peer = newPeer();
    const bytes = read(peer, 1, 3 * MTU);
    peer.take();
    data(peer, Opcode.RC_READ_RESPONSE_FIRST, 0, pattern(MTU, 1));
    data(peer, Opcode.RC_READ_RESPONSE_LAST, 2, pattern(MTU, 9));
    peer.take();
    assert.equal(data(peer, resumed, 1, pattern(MTU, 2)), '');
    assert.equal(data(peer, Opcode.RC_READ_RESPONSE_LAST, 2, pattern(MTU, 3)), '');
    assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
    assert.deepEqual(bytes.subarray(MTU, 2 * MTU), pattern(MTU, 2));
  }
});

test('a READ answer that came before counts as stale, one that nobody asked for as a ghost', () => {
  const peer = newPeer();
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(4)), 'ghost_response');
  read(peer, 1, 2 * MTU);
  peer.take();
  data(peer, Opcode.RC_READ_RESPONSE_FIRST, 0, pattern(MTU));
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_FIRST, 0, pattern(MTU)), 'stale_response');
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_LAST, 2, pattern(MTU)), 'ghost_response');
});

test('READ data beside a pending SEND is no answer to anything', () => {
  const peer = newPeer();
  send(peer, 1);
  peer.take();
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(4)), 'ghost_response');
  assert.equal(peer.qp.state, QpState.RTS);
});

// --- limits -----------------------------------------------------------------------------------------------------------

test('max_rd_atomic limits unfinished READs and atomics; the next one waits and so does everything behind it', () => {
  const peer = newPeer({ maxRdAtomic: 2 });
  read(peer, 1, 4);
  atomic(peer, 2);
  read(peer, 3, 4);
  send(peer, 4);
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 0 va+0 4 ack', 'FETCH_ADD 1 ack']);
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(4)), '');
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 2 va+0 4 ack', 'SEND_ONLY 3 ack']);
});

test('max_rd_atomic 0 leaves no room for a READ or atomic: it completes with LOC_QP_OP_ERR', () => {
  const peer = newPeer({ maxRdAtomic: 0 });
  send(peer, 1);
  read(peer, 2, 4);
  peer.take();
  assert.deepEqual(peer.sendStatuses(), [], 'after those before it');
  answer(peer, 0);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:LOC_QP_OP_ERR']);
});

test('a request with FENCE waits until earlier READs and atomics have finished', () => {
  const peer = newPeer();
  read(peer, 1, 4);
  atomic(peer, 2);
  send(peer, 3);
  const { region } = peer.side.region(8);
  peer.side.post({ opcode: WrOpcode.SEND, wrId: 4, fence: true }, [region, 0, 8]);
  send(peer, 5);
  assert.deepEqual(peer.take(REMOTE_VA), ['READ_REQUEST 0 va+0 4 ack', 'FETCH_ADD 1 ack', 'SEND_ONLY 2 ack']);
  data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(4));
  assert.deepEqual(peer.take(), []);
  peer.give({ opcode: Opcode.RC_ATOMIC_ACKNOWLEDGE, psn: 1, aeth: { syndrome: ACK }, original: 1 });
  assert.deepEqual(peer.take(), ['SEND_ONLY 3 ack', 'SEND_ONLY 4 ack'], 'earlier SENDs do not hold it');
});

test('a request without FENCE does not wait for READs', () => {
  const peer = newPeer();
  read(peer, 1, 4);
  send(peer, 2);
  assert.equal(peer.take().length, 2);
});

// --- going back -------------------------------------------------------------------------------------------------------

test('a timeout sends from the oldest unacknowledged PSN again, with the same PSNs and the same segmentation', () => {
  const peer = newPeer({ timeout: 8 });
  send(peer, 1);
  send(peer, 2, 2 * MTU + 5);
  const first = peer.takePackets();
  answer(peer, 0);
  peer.wait(4.096 * 2 ** 8 * 4);
  const again = peer.takePackets();
  const lengths = (items: typeof first): number[][] =>
    items.map(({ packet }) => [packet.opcode, packet.psn, packet.payloadLength]);
  assert.deepEqual(lengths(again).slice(0, 3), lengths(first).slice(1));
  assert.equal(peer.nic.counters.timeouts >= 1, true);
});

test('timeout t is 4.096 µs × 2^t, and up to four times that; 0 is never', () => {
  for (const timeout of [6, 10, 14]) {
    const peer = newPeer({ timeout });
    send(peer, 1);
    peer.take();
    const micros = 4.096 * 2 ** timeout;
    peer.wait(micros - 1);
    assert.deepEqual(peer.take(), [], `timeout ${timeout}`);
    peer.wait(3 * micros + 2);
    assert.equal(peer.take().length > 0, true, `timeout ${timeout}`);
  }
  const peer = newPeer({ timeout: 0 });
  send(peer, 1);
  peer.take();
  peer.wait(1e9);
  assert.deepEqual(peer.take(), []);
  assert.deepEqual(peer.sendStatuses(), []);
});

test('retry_cnt n means n retransmissions without progress, then RETRY_EXC_ERR and a flush', () => {
  for (const retryCount of [0, 1, 7]) {
    const peer = newPeer({ timeout: 6, retryCount });
    send(peer, 1);
    send(peer, 2);
    peer.wait(1e9);
    assert.deepEqual(peer.sendStatuses(), ['1:RETRY_EXC_ERR', '2:WR_FLUSH_ERR']);
    const transmissions = peer.take().filter((packet) => packet.startsWith('SEND_ONLY 0')).length;
    assert.equal(transmissions, retryCount + 1);
    assert.equal(peer.qp.state, QpState.ERR);
    assert.deepEqual(peer.events(), [], 'a completion says it, so no event does');
  }
});

test('sequence NAKs cost retries as timeouts do, and progress gives them back', () => {
  const peer = newPeer({ retryCount: 2, timeout: 0 });
  for (let id = 0; id < 12; id++) send(peer, id);
  peer.take();
  for (let psn = 0; psn < 8; psn++) {
    answer(peer, psn, NAK_SEQ);
    peer.take();
    peer.wait(1);
    answer(peer, psn, NAK_SEQ);
    peer.take();
    peer.wait(1);
    answer(peer, psn);
  }
  assert.equal(peer.sendStatuses().length, 8, 'two a message, eight messages, and it lives');
  answer(peer, 8, NAK_SEQ);
  peer.take();
  peer.wait(1);
  answer(peer, 8, NAK_SEQ);
  peer.take();
  peer.wait(1);
  answer(peer, 8, NAK_SEQ);
  assert.deepEqual(peer.sendStatuses().slice(0, 2), ['8:RETRY_EXC_ERR', '9:WR_FLUSH_ERR']);
});

test('a NAK beyond a pending READ says that its answer was lost: the READ is asked for again first', () => {
  const peer = newPeer();
  read(peer, 1, 2 * MTU);
  send(peer, 2);
  send(peer, 3);
  peer.take();
  data(peer, Opcode.RC_READ_RESPONSE_FIRST, 0, pattern(MTU));
  assert.equal(answer(peer, 3, NAK_SEQ), '');
  assert.deepEqual(peer.take(REMOTE_VA), [
    'READ_REQUEST 1 va+256 256 ack',
    'SEND_ONLY 2 ack',
    'SEND_ONLY 3 ack',
  ]);
  data(peer, Opcode.RC_READ_RESPONSE_ONLY, 1, pattern(MTU));
  answer(peer, 3);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
});

test('a NAK that speaks of progress gives retries back, also where a lost READ answer holds everything up', () => {
  const peer = newPeer({ retryCount: 1, timeout: 0 });
  read(peer, 1, 4);
  for (let id = 2; id < 10; id++) send(peer, id);
  peer.take();
  for (let psn = 1; psn < 9; psn++) {
    assert.equal(answer(peer, psn, NAK_SEQ), '');
    peer.take();
    peer.wait(1);
  }
  assert.deepEqual(peer.sendStatuses(), [], 'each told of one more SEND that was carried out');
  answer(peer, 8, NAK_SEQ);
  assert.equal(peer.sendStatuses()[8], '9:RETRY_EXC_ERR', 'the same one again tells of none');
});

// --- receiver not ready -----------------------------------------------------------------------------------------------

test('RNR NAK(p): pause for at least the coded time, then resend from p; sequence NAKs in between are ignored', () => {
  const peer = newPeer();
  for (const id of [1, 2, 3]) send(peer, id);
  peer.take();
  assert.equal(answer(peer, 1, RNR | 20), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS'], 'everything before it is acknowledged');
  assert.equal(answer(peer, 1, NAK_SEQ), 'stale_response');
  assert.equal(answer(peer, 1, RNR | 20), 'stale_response', 'the same RNR NAK again');
  peer.wait(10_239);
  assert.deepEqual(peer.take(), []);
  peer.wait(2);
  assert.deepEqual(peer.take(), ['SEND_ONLY 1 ack'], 'what is behind it waits for the answer');
  answer(peer, 1);
  assert.deepEqual(peer.take(), ['SEND_ONLY 2 ack']);
});

test('while the peer has no receive, one packet asks for it after each pause, and the rest follows at once when it has', () => {
  const peer = newPeer({ rnrRetry: 7 });
  for (let id = 1; id <= 8; id++) send(peer, id);
  send(peer, 9, 3 * MTU);
  assert.equal(peer.take().length, 11);
  for (let i = 0; i < 5; i++) {
    assert.equal(answer(peer, 0, RNR | 1), '');
    peer.wait(20);
    assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack']);
  }
  answer(peer, 0);
  assert.equal(peer.take().length, 10);
  answer(peer, 7);
  assert.equal(answer(peer, 8, RNR | 1), '', 'the first packet of a message of several');
  peer.wait(20);
  assert.deepEqual(peer.take(), ['SEND_FIRST 8 ack']);
  answer(peer, 8);
  assert.deepEqual(peer.take(), ['SEND_MIDDLE 9 ack', 'SEND_LAST 10 ack']);
  answer(peer, 10);
  assert.equal(peer.sendStatuses().length, 9);
});

test('the last packet of a WRITE with immediate data that is refused is sent again alone, and so is a READ in front of it', () => {
  const peer = newPeer();
  const { region } = peer.side.region(2 * MTU, 0, 1);
  const target = read(peer, 1, 8);
  const remote = { remoteVa: REMOTE_VA, rkey: 7 };
  peer.side.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 2, ...remote }, [region, 0, 2 * MTU]);
  send(peer, 3);
  peer.take();
  assert.equal(answer(peer, 2, RNR | 1), '');
  peer.wait(20);
  assert.deepEqual(peer.take(), ['WRITE_LAST_IMM 2 ack']);
  assert.equal(answer(peer, 2), 'response_gap', 'taken, and the answer to the READ was lost');
  assert.deepEqual(peer.take(REMOTE_VA), [
    'READ_REQUEST 0 va+0 8 ack',
    'WRITE_FIRST 1 va+0 512',
    'WRITE_LAST_IMM 2 ack',
  ]);
  data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(8));
  answer(peer, 2);
  assert.deepEqual(peer.take(), ['SEND_ONLY 3 ack']);
  answer(peer, 3);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
  assert.deepEqual(target, pattern(8));
});

test('rnr_retry n allows n pauses, then RNR_RETRY_EXC_ERR; a sequence NAK costs none of them', () => {
  for (const rnrRetry of [0, 1, 6]) {
    const peer = newPeer({ rnrRetry });
    send(peer, 1);
    send(peer, 2);
    peer.take();
    for (let i = 0; i < rnrRetry; i++) {
      assert.equal(answer(peer, 0, RNR | 1), '');
      peer.wait(20);
      peer.take();
      answer(peer, 0, NAK_SEQ);
      peer.take();
    }
    assert.deepEqual(peer.sendStatuses(), [], `rnr_retry ${rnrRetry}`);
    answer(peer, 0, RNR | 1);
    assert.deepEqual(peer.sendStatuses(), ['1:RNR_RETRY_EXC_ERR', '2:WR_FLUSH_ERR']);
  }
});

test('rnr_retry 7 is for ever, and retry_cnt is not touched by it', () => {
  const peer = newPeer({ rnrRetry: 7, retryCount: 0 });
  send(peer, 1);
  for (let i = 0; i < 100; i++) {
    peer.take();
    assert.equal(answer(peer, 0, RNR | 1), '');
    peer.wait(20);
  }
  peer.take();
  assert.equal(answer(peer, 0), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});

test('progress gives RNR retries back', () => {
  const peer = newPeer({ rnrRetry: 1 });
  for (const id of [1, 2]) send(peer, id);
  for (const psn of [0, 1]) {
    peer.take();
    answer(peer, psn, RNR | 1);
    peer.wait(20);
    peer.take();
    answer(peer, psn);
  }
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS']);
});

// --- completions ------------------------------------------------------------------------------------------------------

test('completions come in posting order, also where a READ is answered late', () => {
  const peer = newPeer();
  read(peer, 1, 4);
  for (const id of [2, 3]) send(peer, id);
  peer.take();
  answer(peer, 2);
  assert.deepEqual(peer.sendStatuses(), []);
  peer.take();
  data(peer, Opcode.RC_READ_RESPONSE_ONLY, 0, pattern(4));
  answer(peer, 2);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
});

test('a local failure waits for its turn behind what was posted before it', () => {
  const peer = newPeer();
  send(peer, 1);
  const { region } = peer.side.region(8);
  peer.nic.regions.deregister(region);
  peer.side.send(2, region);
  send(peer, 3);
  assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack']);
  assert.deepEqual(peer.sendStatuses(), []);
  answer(peer, 0);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:LOC_PROT_ERR', '3:WR_FLUSH_ERR']);
});

test('a local operation between requests that are sent again keeps its place, and answers find theirs', () => {
  const peer = newPeer();
  send(peer, 1);
  peer.side.post({ opcode: WrOpcode.BIND_MW, wrId: 2, bind: binding(peer) });
  const bytes = read(peer, 3, 4);
  assert.deepEqual(peer.take(REMOTE_VA), ['SEND_ONLY 0 ack', 'READ_REQUEST 1 va+0 4 ack']);
  assert.equal(answer(peer, 0, NAK_SEQ), '');
  // Going back has sent the SEND again and stands at the window, when all answers come.
  assert.equal(peer.takeOne(), 'SEND_ONLY 0 ack');
  assert.equal(answer(peer, 0), '');
  assert.equal(data(peer, Opcode.RC_READ_RESPONSE_ONLY, 1, pattern(4)), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
  assert.deepEqual(bytes, pattern(4));
});

test('memory that is deregistered while a message is repeated is not sent again', () => {
  const peer = newPeer();
  const { region } = peer.side.region(2 * MTU, AccessFlags.LOCAL_WRITE, 1);
  send(peer, 1);
  peer.side.send(2, region);
  peer.take();
  peer.nic.regions.deregister(region);
  answer(peer, 0, NAK_SEQ);
  assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack']);
  answer(peer, 0);
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS', '2:LOC_PROT_ERR']);
});

test('a resent part of a long READ ends where the request before it ended', () => {
  const peer = newPeer({ maxRdAtomic: 4 });
  read(peer, 1, 200 * MTU);
  const parts: { psn: number; packets: number }[] = [];
  const collect = (): void => {
    for (const line of peer.take(REMOTE_VA)) {
      const [, psn, , length] = line.split(' ');
      parts.push({ psn: Number(psn), packets: Number(length) / MTU });
    }
  };
  collect();
  const firstEnd = (parts[0]?.psn ?? 0) + (parts[0]?.packets ?? 0);
  for (let psn = 0; psn < firstEnd - 2; psn++) {
    data(peer, Opcode.RC_READ_RESPONSE_MIDDLE, psn, new Uint8Array(MTU));
    collect();
  }
  const original = parts.slice();
  // The last packet of the first part is lost: the answer to the second part shows it.
  data(peer, Opcode.RC_READ_RESPONSE_MIDDLE, firstEnd, new Uint8Array(MTU));
  parts.length = 0;
  collect();
  const [resent] = parts;
  assert.equal(resent?.psn, firstEnd - 2);
  const saved = original.find((part) => part.psn + part.packets > (resent?.psn ?? 0));
  const savedEnd = (saved?.psn ?? 0) + (saved?.packets ?? 0);
  assert.equal(
    (resent?.psn ?? 0) + (resent?.packets ?? 0) <= savedEnd,
    true,
    'a responder knows it by one request',
  );
});
