/** The responder and requests that come again: each is carried out once, and answered as before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { pattern } from '../../../testkit/craft-packet.js';
import {
  ALL,
  fetchAdd,
  MTU,
  newPeer,
  postReceives,
  read,
  sendOnly,
  target,
  write,
} from './responder-steps.js';

test('a duplicate SEND or WRITE is not executed, and answered by an ACK with the newest PSN', () => {
  const peer = newPeer();
  postReceives(peer, 5);
  const memory = target(peer, 16);
  sendOnly(peer, 0);
  write(peer, 1, memory, 8, 1);
  write(peer, 2, memory, 8, 9);
  peer.take();
  for (const psn of [0, 2]) assert.equal(sendOnly(peer, psn), 'duplicate');
  assert.equal(write(peer, 1, memory, 8, 1), 'duplicate');
  assert.deepEqual(peer.take(), ['ACK 2 msn 3']);
  assert.deepEqual(memory.bytes.subarray(0, 8), pattern(8, 9), 'the older WRITE did not come back');
  assert.equal(peer.qp.receives.count, 4);
});

test('a ghost from half the circle behind is answered like a duplicate', () => {
  const peer = newPeer();
  postReceives(peer, 2);
  sendOnly(peer, 0);
  peer.take();
  assert.equal(sendOnly(peer, 1 - 0x800000), 'duplicate');
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
  assert.equal(sendOnly(peer, 1 + 0x7fffff), 'out_of_order');
});

test('a duplicate READ reads memory again, from the packet that it names on', () => {
  const peer = newPeer();
  const memory = target(peer, 4 * MTU, ALL, 3);
  read(peer, 0, memory, 3 * MTU);
  assert.equal(peer.take().length, 3);
  memory.bytes.fill(0x55);
  assert.equal(read(peer, 1, memory, 2 * MTU, MTU), 'duplicate');
  const items = peer.takePackets();
  assert.deepEqual(
    items.map(({ packet }) => [packet.opcode, packet.payloadLength]),
    [
      [Opcode.RC_READ_RESPONSE_FIRST, MTU],
      [Opcode.RC_READ_RESPONSE_LAST, MTU],
    ],
  );
  const { packet } = items[0] as (typeof items)[0];
  const payload = packet.bytes.subarray(packet.payloadAt, packet.payloadAt + packet.payloadLength);
  assert.deepEqual(payload, new Uint8Array(MTU).fill(0x55));
  assert.equal(read(peer, 2, memory, 1, 2 * MTU), 'duplicate', 'less than what is left will do');
  assert.deepEqual(peer.take(), ['READ_RESPONSE_ONLY 2 1']);
});

test('a duplicate READ with another address, rkey or a longer length is dropped without an answer', () => {
  const peer = newPeer();
  const memory = target(peer, 8 * MTU, ALL, 3);
  read(peer, 0, memory, 3 * MTU);
  peer.take();
  assert.equal(read(peer, 1, memory, MTU, 0), 'duplicate_unknown', 'address does not fit the PSN');
  assert.equal(read(peer, 1, memory, 2 * MTU + 1, MTU), 'duplicate_unknown', 'beyond the original');
  assert.equal(read(peer, 1, { ...memory, rkey: memory.rkey ^ 1 }, MTU, MTU), 'duplicate_unknown');
  assert.equal(fetchAdd(peer, 1, memory, 1), 'duplicate_unknown', 'an atomic where a READ was');
  assert.deepEqual(peer.take(), []);
  assert.equal(peer.qp.state, QpState.RTS);
});

test('a duplicate READ of memory that was deregistered since is refused, and ends nothing: it may be a ghost', () => {
  const peer = newPeer();
  const { region, grant } = peer.side.region(MTU, ALL, 3);
  const memory = { bytes: region.bytes, va: region.va, rkey: grant.rkey };
  read(peer, 0, memory, MTU);
  peer.take();
  peer.nic.regions.deregister(region);
  assert.equal(read(peer, 0, memory, MTU), 'duplicate');
  assert.deepEqual(peer.take(), ['NAK_ACCESS 0 msn 1']);
  assert.equal(peer.qp.state, QpState.RTS);
});

test('a READ asked for again while its answer goes out is sent once from there on', () => {
  const peer = newPeer();
  const memory = target(peer, 8 * MTU, ALL, 3);
  read(peer, 0, memory, 8 * MTU);
  // Both parts of the repetition come before anything of the first answer has left.
  assert.equal(read(peer, 2, memory, 3 * MTU, 2 * MTU), 'duplicate');
  assert.equal(read(peer, 5, memory, 3 * MTU, 5 * MTU), 'duplicate');
  assert.deepEqual(
    peer.takePackets().map(({ packet }) => packet.psn),
    [0, 1, 2, 3, 4, 5, 6, 7].map((psn) => (0xfffffe + psn) & 0xffffff),
  );
});

test('a peer that asks again faster than answers leave does not put them off: they keep their order, one each', () => {
  const peer = newPeer();
  const memory = target(peer, 8 * MTU, ALL, 3);
  read(peer, 0, memory, MTU);
  fetchAdd(peer, 1, memory, 1);
  read(peer, 2, memory, 2 * MTU);
  write(peer, 4, memory, 8);
  const answers: string[] = [];
  // One packet a turn, as from a host that has much else to do; whatever is not here is asked for before each of them.
  for (const missing of [[0, 1, 2], [1, 2], [2], [3], []]) {
    for (const psn of missing) {
      if (psn === 1) assert.equal(fetchAdd(peer, 1, memory, 1), 'duplicate');
      else if (psn === 0) assert.equal(read(peer, 0, memory, MTU), 'duplicate');
      else assert.equal(read(peer, psn, memory, (4 - psn) * MTU, (psn - 2) * MTU), 'duplicate');
    }
    assert.equal(write(peer, 4, memory, 8), 'duplicate');
    answers.push(peer.takeOne());
  }
  assert.deepEqual(answers, [
    'READ_RESPONSE_ONLY 0 256',
    'ATOMIC_ACKNOWLEDGE 1 0',
    'READ_RESPONSE_FIRST 2 256',
    'READ_RESPONSE_LAST 3 256',
    'ACK 4 msn 4',
  ]);
  assert.deepEqual(peer.take(), []);
});

test('an answer that is asked for again leaves before those of later requests, also one that is under way', () => {
  const peer = newPeer();
  const memory = target(peer, 8 * MTU, ALL, 3);
  fetchAdd(peer, 0, memory, 1);
  assert.equal(peer.takeOne(), 'ATOMIC_ACKNOWLEDGE 0 0');
  read(peer, 1, memory, 3 * MTU);
  assert.equal(peer.takeOne(), 'READ_RESPONSE_FIRST 1 256');
  assert.equal(peer.takeOne(), 'READ_RESPONSE_MIDDLE 2 256');
  assert.equal(fetchAdd(peer, 0, memory, 1), 'duplicate');
  assert.equal(read(peer, 1, memory, 3 * MTU), 'duplicate');
  assert.deepEqual(peer.take(), [
    'ATOMIC_ACKNOWLEDGE 0 0',
    'READ_RESPONSE_FIRST 1 256',
    'READ_RESPONSE_MIDDLE 2 256',
    'READ_RESPONSE_LAST 3 256',
  ]);
});

test('a duplicate atomic gets the saved value and is never executed twice', () => {
  const peer = newPeer();
  const memory = target(peer, 16);
  memory.bytes[0] = 40;
  fetchAdd(peer, 0, memory, 2);
  const [first] = peer.takePackets();
  assert.equal(memory.bytes[0], 42);
  memory.bytes[0] = 99;
  for (let i = 0; i < 3; i++) {
    assert.equal(fetchAdd(peer, 0, memory, 2), 'duplicate');
    const [replay, ...others] = peer.takePackets();
    assert.deepEqual(replay?.bytes, first?.bytes);
    assert.deepEqual(others, []);
  }
  assert.equal(memory.bytes[0], 99);
});

test('as many operations as max_dest_rd_atomic are remembered, and the oldest one is forgotten first', () => {
  const peer = newPeer({ attributes: { maxDestRdAtomic: 2 } });
  const memory = target(peer, 16);
  for (let psn = 0; psn < 3; psn++) {
    fetchAdd(peer, psn, memory, 1);
    peer.take();
  }
  assert.equal(fetchAdd(peer, 0, memory, 1), 'duplicate_unknown');
  assert.equal(fetchAdd(peer, 1, memory, 1), 'duplicate');
  assert.equal(fetchAdd(peer, 2, memory, 1), 'duplicate');
  assert.deepEqual(peer.take(), ['ATOMIC_ACKNOWLEDGE 1 0', 'ATOMIC_ACKNOWLEDGE 2 0']);
  assert.equal(memory.bytes[0], 3);
});

test('max_dest_rd_atomic 0 refuses READs and atomics', () => {
  const peer = newPeer({ attributes: { maxDestRdAtomic: 0 } });
  assert.equal(read(peer, 0, target(peer, 16), 4), 'bad_operation');
  assert.deepEqual(peer.take(), ['NAK_INVALID 0 msn 0']);
});

test('more READs than can be answered are dropped, not refused, and work when they are repeated', () => {
  const peer = newPeer({ attributes: { maxDestRdAtomic: 2 } });
  const memory = target(peer, 16);
  const outcomes = [0, 1, 2, 3, 4, 5, 6, 7].map((psn) => read(peer, psn, memory, 4));
  assert.deepEqual(outcomes.slice(0, 3), ['', '', 'no_resources']);
  assert.equal(peer.take().filter((line) => line.startsWith('READ_RESPONSE')).length, 2);
  assert.equal(read(peer, 2, memory, 4), '');
  assert.equal(peer.qp.state, QpState.RTS);
});
