/** COMM_EST: the first packet that the peer alone can have sent tells who waits for it that the peer is ready. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { NicPair, toAddress } from '../../testkit/nic-pair.js';

function waitingPeer(): HandPeer {
  const peer = new HandPeer();
  peer.qp.awaitFirstPacket();
  return peer;
}

const SEND = { opcode: Opcode.RC_SEND_ONLY, psn: 0, payloadLength: 8 };

test('the first request in sequence raises COMM_EST, once', () => {
  const peer = waitingPeer();
  for (const wrId of [1, 2]) peer.side.postRecv(wrId, peer.side.region(64).region);
  assert.equal(peer.give(SEND), '');
  assert.deepEqual(peer.events(), ['COMM_EST']);
  assert.equal(peer.give({ ...SEND, psn: 1 }), '');
  assert.equal(peer.give(SEND), 'duplicate');
  assert.deepEqual(peer.events(), []);
  assert.deepEqual(peer.side.statuses('recv'), ['1:SUCCESS', '2:SUCCESS']);
});

test('a request that meets no receive tells it too: the peer is ready, this end is not', () => {
  const peer = waitingPeer();
  assert.equal(peer.give(SEND), 'no_receive');
  assert.deepEqual(peer.events(), ['COMM_EST']);
});

test('an acknowledgement of what was sent tells it', () => {
  const peer = waitingPeer();
  peer.side.send(1, peer.side.region(8).region);
  peer.takePackets();
  assert.equal(peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: 0x1f, msn: 1 } }), '');
  assert.deepEqual(peer.events(), ['COMM_EST']);
});

test('what anybody could have sent tells nothing', () => {
  const peer = waitingPeer();
  const wrong = [
    peer.give({ ...SEND, source: toAddress('192.0.2.1') }),
    peer.give({ ...SEND, badIcrc: true }),
    peer.give({ ...SEND, psn: 5 }),
    peer.give({ ...SEND, opcode: Opcode.UC_SEND_ONLY }),
    peer.give({ opcode: Opcode.CNP, psn: 0 }),
    peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 3, aeth: { syndrome: 0x1f, msn: 1 } }),
  ];
  assert.deepEqual(wrong, ['wrong_source', 'bad_icrc', 'out_of_order', 'wrong_service', '', 'ghost_ack']);
  assert.deepEqual(peer.events(), []);
  peer.side.postRecv(1, peer.side.region(64).region);
  assert.equal(peer.give(SEND), '');
  assert.deepEqual(peer.events(), ['COMM_EST']);
});

test('UC and UD tell it too', () => {
  for (const type of [QpType.UC, QpType.UD]) {
    const pair = new NicPair({ type });
    const [a, b] = pair.sides;
    b.qp.awaitFirstPacket();
    b.postRecv(1, b.region(64).region);
    const to = { flow: a.nic.createFlow({ dgid: '::ffff:10.0.0.2' }), destQpn: b.qp.qpn, qkey: 0x1111 };
    const opcode = WrOpcode.SEND;
    a.post({ opcode, wrId: 1, ...(type === QpType.UD ? to : {}) }, [a.region(4).region, 0, 4]);
    pair.run();
    assert.deepEqual(b.statuses('recv'), ['1:SUCCESS']);
    assert.equal(b.nic.takeEvent()?.type, 'COMM_EST');
  }
});

test('who does not wait is told nothing, and who began again does not wait any more', () => {
  const peer = new HandPeer();
  peer.side.postRecv(1, peer.side.region(64).region);
  assert.equal(peer.give(SEND), '');
  peer.qp.awaitFirstPacket();
  for (const { qp } of peer.pair.sides) qp.modify({ state: QpState.RESET });
  peer.pair.connect();
  peer.side.postRecv(1, peer.side.region(64).region);
  assert.equal(peer.give(SEND), '');
  assert.deepEqual(peer.events(), []);
});
