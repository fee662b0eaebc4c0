/** In which order a queue pair sends what it has to answer and what it has to ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { HandPeer } from '../../testkit/hand-peer.js';

const ALL = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE;

test('an acknowledgement leaves before the requests of its turn: the peer has its SEND completed before the answer', () => {
  const peer = new HandPeer();
  const { side } = peer;
  side.postRecv(1, side.region(8).region);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
  for (const id of [2, 3]) side.send(id, side.region(8).region);
  assert.deepEqual(peer.take(), ['ACK 0 msn 1', 'SEND_ONLY 0 ack', 'SEND_ONLY 1 ack']);
});

test('for a port that joins packets an acknowledgement leaves behind the requests, also when the first of them fails', () => {
  const peer = new HandPeer({ acknowledgesLast: true });
  const { side } = peer;
  for (const id of [1, 2]) side.postRecv(id, side.region(8).region);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
  for (const id of [3, 4]) side.send(id, side.region(8).region);
  assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack', 'SEND_ONLY 1 ack', 'ACK 0 msn 1']);
  peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 1, aeth: { syndrome: 0x1f } });

  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 1, ackReq: true });
  const gone = side.region(8).region;
  side.send(5, gone);
  side.nic.regions.deregister(gone);
  assert.deepEqual(peer.take(), ['ACK 1 msn 2']);
  assert.equal(peer.qp.state, QpState.ERR);
});

test('an acknowledgement behind the data of a READ leaves with it, before the requests', () => {
  const peer = new HandPeer({ attributes: { accessFlags: ALL, maxDestRdAtomic: 1 } });
  const { side } = peer;
  const { region, grant } = side.region(8, ALL);
  side.postRecv(1, side.region(8).region);
  const reth = { va: region.va, rkey: grant.rkey, length: 8 };
  peer.give({ opcode: Opcode.RC_READ_REQUEST, psn: 0, ackReq: true, reth });
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 1, ackReq: true });
  side.send(2, side.region(8).region);
  assert.deepEqual(peer.take(), ['READ_RESPONSE_ONLY 0 8', 'ACK 1 msn 2', 'SEND_ONLY 0 ack']);
});
