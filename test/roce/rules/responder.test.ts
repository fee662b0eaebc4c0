/** The responder: order, duplicates, replays, NAKs, lengths and memory checks; which peers are heard. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { HandPeer } from '../../../testkit/hand-peer.js';
import { type PairOptions, toAddress } from '../../../testkit/nic-pair.js';

const MTU = 256;
const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

interface Target {
  readonly bytes: Uint8Array;
  readonly va: number;
  readonly rkey: number;
}

const newPeer = (options: PairOptions = {}): HandPeer => new HandPeer({ mtu: MTU, ...options });

function target(peer: HandPeer, length: number, access = ALL, fill?: number): Target {
  const { region, grant } = peer.side.region(length, access, fill);
  return { bytes: region.bytes, va: region.va, rkey: grant.rkey };
}

const sendOnly = (peer: HandPeer, psn: number, ackReq = true): string =>
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq, payloadLength: 4 });

const write = (peer: HandPeer, psn: number, at: Target, length: number, fill = 1): string =>
  peer.give({
    opcode: Opcode.RC_WRITE_ONLY,
    psn,
    ackReq: true,
    payload: pattern(length, fill),
    reth: { va: at.va, rkey: at.rkey, length },
  });

const read = (peer: HandPeer, psn: number, at: Target, length: number, offset = 0): string =>
  peer.give({
    opcode: Opcode.RC_READ_REQUEST,
    psn,
    ackReq: true,
    reth: { va: at.va + offset, rkey: at.rkey, length },
  });

const fetchAdd = (peer: HandPeer, psn: number, at: Target, swapAdd: number, offset = 0): string =>
  peer.give({
    opcode: Opcode.RC_FETCH_ADD,
    psn,
    ackReq: true,
    atomic: { va: at.va + offset, rkey: at.rkey, swapAdd },
  });

function postReceives(peer: HandPeer, count: number): void {
  for (let id = 0; id < count; id++) peer.side.postRecv(id, peer.side.region(2 * MTU).region);
}

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

// --- duplicates -------------------------------------------------------------------------------------------------------

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
