/** The requester: PSNs, AckReq, what an answer completes, READ limits, FENCE, completions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import {
  ACK,
  answer,
  atomic,
  binding,
  data,
  MTU,
  NAK_SEQ,
  newPeer,
  REMOTE_VA,
  read,
  send,
} from './requester-steps.js';

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
