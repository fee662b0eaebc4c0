/** Answers of a responder before they leave: what becomes of a NAK, and for how much there is room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseKind, ResponseQueue } from '../../src/roce/qp/response-queue.js';
import { SavedOperation } from '../../src/roce/qp/saved-operations.js';
import { Syndrome } from '../../src/roce/wire/aeth.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { pattern } from '../../testkit/craft-packet.js';
import { HandPeer } from '../../testkit/hand-peer.js';

test('a NAK that has not left becomes an ACK when nothing is missing any more, and moves on while something is', () => {
  for (const isMissing of [false, true]) {
    const queue = new ResponseQueue(8);
    queue.pushNak(10, Syndrome.NAK_SEQUENCE, 0);
    assert.equal(queue.pushAck(12, Syndrome.ACK, 1, isMissing), isMissing);
    const { kind, psn } = queue.first;
    assert.deepEqual([kind, psn], isMissing ? [ResponseKind.NAK, 13] : [ResponseKind.ACK, 12]);
  }
});

test('two places are kept for the ACK and the NAK that may follow the answers', () => {
  const queue = new ResponseQueue(4);
  for (const expected of [true, false]) {
    queue.pushOperation(ResponseKind.ATOMIC, new SavedOperation(), 0);
    assert.equal(queue.hasRoom, expected);
  }
});

test('behind the NAK for memory that was taken away no answer leaves', () => {
  const peer = new HandPeer({ mtu: 256 });
  const { region, grant } = peer.side.region(1024, 15);
  const reth = { va: region.va, rkey: grant.rkey, length: 256 };
  for (const psn of [0, 1]) peer.give({ opcode: Opcode.RC_READ_REQUEST, psn, ackReq: true, reth });
  peer.nic.regions.deregister(region);
  assert.deepEqual(peer.take(), ['NAK_ACCESS 0 msn 1']);
  assert.deepEqual(peer.events(), ['QP_ACCESS_ERR']);
});

test('a READ answer whose header says NAK is no data', () => {
  const peer = new HandPeer({ mtu: 256 });
  const { region } = peer.side.region(256);
  peer.side.post({ opcode: 4, wrId: 7, remoteVa: 0x1000, rkey: 1 }, [region, 0, 256]);
  peer.take();
  const answer = { opcode: Opcode.RC_READ_RESPONSE_ONLY, psn: 0, payload: pattern(256) };
  assert.equal(peer.give({ ...answer, aeth: { syndrome: Syndrome.NAK_SEQUENCE } }), 'bad_response');
  assert.deepEqual(peer.sendStatuses(), ['7:BAD_RESP_ERR']);
  assert.ok(region.bytes.every((byte) => byte === 0));
});
