/** The responder: order, replays, NAKs, lengths and memory checks; which peers are heard. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import { toAddress } from '../../../testkit/nic-pair.js';
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

// --- in order ---------------------------------------------------------------------------------------------------------

test('a packet in order is executed, and acknowledged with its PSN only if it asks for that', () => {
  const peer = newPeer();
  postReceives(peer, 3);
  assert.equal(sendOnly(peer, 0, false), '');
  assert.deepEqual(peer.take(), []);
  assert.equal(sendOnly(peer, 1), '');
  assert.deepEqual(peer.take(), ['ACK 1 msn 2']);
  assert.deepEqual(peer.recvStatuses(), ['0:SUCCESS', '1:SUCCESS']);
});

test('a READ advances the expected PSN by its whole block', () => {
  const peer = newPeer();
  postReceives(peer, 1);
  const memory = target(peer, 4 * MTU);
  assert.equal(read(peer, 0, memory, 3 * MTU + 1), '');
  assert.equal(sendOnly(peer, 4), '');
  assert.deepEqual(peer.recvStatuses(), ['0:SUCCESS']);
});

test('nothing overtakes: a later ACK leaves after the data of a READ before it', () => {
  const peer = newPeer();
  postReceives(peer, 2);
  const memory = target(peer, 2 * MTU);
  sendOnly(peer, 0);
  read(peer, 1, memory, 2 * MTU);
  sendOnly(peer, 3);
  fetchAdd(peer, 4, memory, 1);
  assert.deepEqual(peer.take(), [
    'ACK 0 msn 1',
    'READ_RESPONSE_FIRST 1 256',
    'READ_RESPONSE_LAST 2 256',
    'ACK 3 msn 3',
    'ATOMIC_ACKNOWLEDGE 4 0',
  ]);
});

test('ACKs of a burst become one, with the newest PSN', () => {
  const peer = newPeer();
  postReceives(peer, 5);
  for (let psn = 0; psn < 5; psn++) sendOnly(peer, psn);
  assert.deepEqual(peer.take(), ['ACK 4 msn 5']);
});

test('the expected PSN wraps from 0xffffff to 0', () => {
  const peer = new HandPeer({ psns: [0xffffff, 0] });
  postReceives(peer, 3);
  for (let psn = 0; psn < 3; psn++) assert.equal(sendOnly(peer, psn), '');
  assert.deepEqual(
    peer.takePackets().map((item) => item.packet.psn),
    [1],
  );
});

// --- ahead ------------------------------------------------------------------------------------------------------------

test('a PSN ahead is dropped and answered by one NAK with the expected PSN; none again until a packet in order', () => {
  const peer = newPeer();
  postReceives(peer, 9);
  sendOnly(peer, 0);
  peer.take();
  assert.equal(sendOnly(peer, 3), 'out_of_order');
  assert.deepEqual(peer.take(), ['NAK_SEQ 1 msn 1']);
  for (const psn of [4, 2, 0x7fffff]) assert.equal(sendOnly(peer, psn), 'out_of_order');
  assert.deepEqual(peer.take(), []);
  assert.equal(sendOnly(peer, 1), '');
  assert.equal(sendOnly(peer, 3), 'out_of_order');
  assert.deepEqual(peer.take(), ['NAK_SEQ 2 msn 2'], 'the ACK is part of the NAK for the next gap');
  assert.equal(peer.recvStatuses().length, 2);
  assert.equal(peer.nic.counters.sequenceNaksSent, 2);
});

test('a NAK that moves forward before it leaves is the one NAK of what is missing then', () => {
  const peer = newPeer();
  postReceives(peer, 8);
  sendOnly(peer, 0);
  peer.take();
  assert.equal(sendOnly(peer, 4), 'out_of_order');
  sendOnly(peer, 1);
  sendOnly(peer, 2);
  assert.equal(sendOnly(peer, 5), 'out_of_order');
  assert.deepEqual(peer.take(), ['NAK_SEQ 3 msn 3']);
  assert.equal(sendOnly(peer, 6), 'out_of_order');
  assert.deepEqual(peer.take(), []);
});

test('a NAK that has moved forward and left is not sent again', () => {
  const peer = newPeer();
  postReceives(peer, 8);
  assert.equal(sendOnly(peer, 3), 'out_of_order');
  sendOnly(peer, 0);
  assert.deepEqual(peer.take(), ['NAK_SEQ 1 msn 1']);
  assert.equal(sendOnly(peer, 4), 'out_of_order');
  assert.deepEqual(peer.take(), []);
});

test('a duplicate does not allow another NAK for the same gap', () => {
  const peer = newPeer();
  postReceives(peer, 3);
  sendOnly(peer, 0);
  sendOnly(peer, 2);
  peer.take();
  assert.equal(sendOnly(peer, 0), 'duplicate');
  assert.equal(sendOnly(peer, 2), 'out_of_order');
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
});

// --- no receive -------------------------------------------------------------------------------------------------------

test('no receive: an RNR NAK with the PSN of the packet, and the expected PSN does not advance', () => {
  const peer = newPeer();
  assert.equal(sendOnly(peer, 0), 'no_receive');
  assert.deepEqual(peer.take(), ['RNR_NAK 0 msn 0']);
  assert.equal(sendOnly(peer, 1), 'out_of_order', 'packets in flight behind it');
  assert.deepEqual(peer.take(), [], 'cost no sequence NAK');
  assert.equal(sendOnly(peer, 0), 'no_receive');
  assert.deepEqual(peer.take(), ['RNR_NAK 0 msn 0']);
  postReceives(peer, 1);
  assert.equal(sendOnly(peer, 0), '');
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
});

test('a duplicate does not take back an RNR NAK that has not left yet', () => {
  const peer = newPeer();
  postReceives(peer, 1);
  sendOnly(peer, 0);
  sendOnly(peer, 1);
  sendOnly(peer, 0);
  assert.deepEqual(peer.take(), ['RNR_NAK 1 msn 1']);
});

// --- lengths and memory -----------------------------------------------------------------------------------------------

test('a RETH length above 2^31 is an invalid request, for WRITE and READ', () => {
  for (const opcode of [Opcode.RC_WRITE_FIRST, Opcode.RC_READ_REQUEST]) {
    const peer = newPeer();
    const memory = target(peer, 16);
    const reth = { va: memory.va, rkey: memory.rkey, length: 2 ** 31 + 1 };
    const payloadLength = opcode === Opcode.RC_WRITE_FIRST ? MTU : 0;
    assert.equal(peer.give({ opcode, psn: 0, reth, payloadLength }), 'bad_reth');
    assert.deepEqual(peer.take(), ['NAK_INVALID 0 msn 0']);
  }
});

test('length 0: address and rkey are not checked', () => {
  const peer = newPeer();
  const nowhere = { bytes: new Uint8Array(0), va: 12345, rkey: 0xdead };
  assert.equal(write(peer, 0, nowhere, 0), '');
  assert.equal(read(peer, 1, nowhere, 0), '');
  assert.deepEqual(peer.take(), ['ACK 0 msn 1', 'READ_RESPONSE_ONLY 1 0']);
  assert.equal(read(peer, 1, nowhere, 0), 'duplicate', 'and the same READ again');
  assert.deepEqual(peer.take(), ['READ_RESPONSE_ONLY 1 0']);
});

test('a zero-byte SEND consumes a receive', () => {
  const peer = newPeer();
  peer.side.postRecv(5);
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0 }), '');
  const [wc] = peer.received();
  assert.deepEqual([wc?.wrId, wc?.byteLen], [5, 0]);
});

test('READs and WRITEs need no alignment, atomics need 8 bytes', () => {
  const peer = newPeer();
  const memory = target(peer, 64);
  assert.equal(write(peer, 0, { ...memory, va: memory.va + 3 }, 5), '');
  assert.equal(read(peer, 1, memory, 5, 3), '');
  peer.take();
  assert.equal(fetchAdd(peer, 2, memory, 1, 4), 'bad_operation');
  assert.deepEqual(peer.take(), ['NAK_INVALID 2 msn 2']);
});

test('memory is refused one byte before its start, one byte past its end, and far beyond 2^53', () => {
  const cases: [number, number][] = [
    [-1, 1],
    [64, 1],
    [63, 2],
    [0, 65],
    [-1, 66],
    [2 ** 52, 8],
  ];
  for (const [offset, length] of cases) {
    for (const operation of ['write', 'read'] as const) {
      const peer = newPeer();
      const memory = target(peer, 64);
      const outcome =
        operation === 'write'
          ? write(peer, 0, { ...memory, va: memory.va + offset }, length)
          : read(peer, 0, memory, length, offset);
      assert.equal(outcome, 'remote_access', `${operation} of ${length} at ${offset}`);
      assert.deepEqual(peer.take(), ['NAK_ACCESS 0 msn 0']);
      assert.deepEqual(memory.bytes, new Uint8Array(64));
    }
  }
});

test('an address above 2^53, which a number does not hold, is outside of every region, zero-based ones too', () => {
  for (const va64 of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 8n]) {
    for (const opcode of [Opcode.RC_WRITE_ONLY, Opcode.RC_READ_REQUEST]) {
      const peer = newPeer();
      const { region, grant } = peer.side.region(64, ALL | AccessFlags.ZERO_BASED);
      assert.equal(region.va, 0);
      const reth = { va: 0, rkey: grant.rkey, length: 8 };
      const payloadLength = opcode === Opcode.RC_WRITE_ONLY ? 8 : 0;
      assert.equal(peer.give({ opcode, psn: 0, reth, va64, payloadLength }), 'remote_access');
      assert.deepEqual(region.bytes, new Uint8Array(64));
    }
    const peer = newPeer();
    const { grant } = peer.side.region(64, ALL | AccessFlags.ZERO_BASED);
    const atomic = { va: 0, rkey: grant.rkey, swapAdd: 1 };
    assert.notEqual(peer.give({ opcode: Opcode.RC_FETCH_ADD, psn: 0, atomic, va64 }), '');
  }
});

test('a message whose region is deregistered in the middle is refused from there on', () => {
  const peer = newPeer();
  const { region, grant } = peer.side.region(2 * MTU, ALL);
  const reth = { va: region.va, rkey: grant.rkey, length: 2 * MTU };
  assert.equal(peer.give({ opcode: Opcode.RC_WRITE_FIRST, psn: 0, payload: pattern(MTU), reth }), '');
  peer.nic.regions.deregister(region);
  assert.equal(peer.give({ opcode: Opcode.RC_WRITE_LAST, psn: 1, payload: pattern(MTU) }), 'remote_access');
  assert.deepEqual(region.bytes.subarray(MTU), new Uint8Array(MTU));
});

test('a region whose buffer the program has transferred away is refused, and nothing throws', () => {
  const peer = newPeer();
  const { region, grant } = peer.side.region(1024, ALL);
  const memory = { bytes: region.bytes, va: region.va, rkey: grant.rkey };
  structuredClone(region.bytes.buffer, { transfer: [region.bytes.buffer as ArrayBuffer] });
  assert.equal(write(peer, 0, memory, 200), 'remote_access');
  assert.deepEqual(peer.take(), ['NAK_ACCESS 0 msn 0']);
});

// --- who is heard -----------------------------------------------------------------------------------------------------

test('packets from another source address, or to another of our addresses, are dropped in silence', () => {
  const peer = newPeer();
  postReceives(peer, 1);
  const packet = { opcode: Opcode.RC_SEND_ONLY, psn: 0, payloadLength: 4 };
  assert.equal(peer.give({ ...packet, source: toAddress('10.0.0.3') }), 'wrong_source');
  assert.equal(peer.give({ ...packet, destination: toAddress('10.0.0.3') }), 'wrong_source');
  assert.deepEqual(peer.take(), []);
});

test('a peer on the standard port may send from any source port, one that declared its port may not', () => {
  const peer = newPeer();
  postReceives(peer, 1);
  const packet = { opcode: Opcode.RC_SEND_ONLY, psn: 0, payloadLength: 4 };
  assert.equal(peer.give({ ...packet, source: toAddress('10.0.0.1', 49153) }), '');
  const declared = newPeer();
  postReceives(declared, 1);
  const { qp } = declared;
  qp.modify({ state: QpState.SQD });
  qp.modify({ av: { dgid: '::ffff:10.0.0.1', udpPort: 20_000 } });
  assert.equal(declared.give({ ...packet, source: toAddress('10.0.0.1', 20_001) }), 'wrong_source');
  assert.equal(declared.give({ ...packet, source: toAddress('10.0.0.1', 20_000) }), '');
});

test('P_Key: the low 15 bits must be those of the default partition; full and limited members both pass', () => {
  const peer = newPeer();
  postReceives(peer, 2);
  const packet = { opcode: Opcode.RC_SEND_ONLY, payloadLength: 4 };
  assert.equal(peer.give({ ...packet, psn: 0, pkey: 0xffff }), '');
  assert.equal(peer.give({ ...packet, psn: 1, pkey: 0x7fff }), '');
  for (const pkey of [0, 0x8001, 0xfffe, 0x7ffe]) {
    assert.equal(peer.give({ ...packet, psn: 2, pkey }), 'bad_pkey');
  }
  assert.deepEqual(peer.recvStatuses(), ['0:SUCCESS', '1:SUCCESS']);
});

test('a wrong ICRC is a lost packet', () => {
  const peer = new HandPeer({ mtu: MTU, ipv6: true });
  postReceives(peer, 1);
  const packet = { opcode: Opcode.RC_SEND_ONLY, psn: 0, payloadLength: 4 };
  assert.equal(peer.give({ ...packet, badIcrc: true }), 'bad_icrc');
  assert.deepEqual(peer.take(), []);
  assert.equal(peer.give(packet), '');
});

test('an unknown QPN is dropped', () => {
  const peer = newPeer();
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, destQpn: peer.qp.qpn ^ 1 }), 'unknown_qpn');
});
