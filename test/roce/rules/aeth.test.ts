/** What a responder says in its AETH, and how a requester takes every syndrome. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aethSyndrome, rnrTimerMicros } from '../../../src/roce/wire/aeth.js';
import { AETH_AT, Opcode } from '../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { HandPeer } from '../../../testkit/hand-peer.js';

const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

test('ACKs of the responder always carry syndrome 0x1f: no credit information', () => {
  const peer = new HandPeer();
  peer.side.postRecv(1, peer.side.region(8).region);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
  const [ack] = peer.takePackets();
  assert.ok(ack);
  assert.equal(aethSyndrome(ack.bytes, AETH_AT), 0x1f);
});

test('every credit code is taken as an ACK', () => {
  for (let code = 0; code <= 0x1f; code++) {
    const peer = new HandPeer();
    peer.side.send(1, peer.side.region(8).region);
    peer.take();
    assert.equal(peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: code } }), '');
    assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
  }
});

test('an RNR NAK carries the min_rnr_timer of the queue pair', () => {
  for (const minRnrTimer of [0, 1, 12, 31]) {
    const peer = new HandPeer({ attributes: { minRnrTimer } });
    peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
    const [nak] = peer.takePackets();
    assert.ok(nak);
    assert.equal(aethSyndrome(nak.bytes, AETH_AT), 0x20 | minRnrTimer);
  }
});

test('after an RNR NAK the requester waits for the coded time, whatever the code, and not for longer', () => {
  for (let code = 0; code < 32; code++) {
    const peer = new HandPeer();
    peer.side.send(1, peer.side.region(8).region);
    assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack']);
    assert.equal(peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: 0x20 | code } }), '');
    const pause = rnrTimerMicros[code] as number;
    peer.wait(pause - 1);
    assert.deepEqual(peer.take(), [], `timer code ${code}`);
    peer.wait(2);
    assert.deepEqual(peer.take(), ['SEND_ONLY 0 ack'], `timer code ${code}`);
  }
});

test('NAK codes become the statuses of the table, and reserved syndromes have no effect', () => {
  const statuses: Record<number, string> = {
    97: 'REM_INV_REQ_ERR',
    98: 'REM_ACCESS_ERR',
    99: 'REM_OP_ERR',
  };
  for (let syndrome = 0x40; syndrome <= 0xff; syndrome++) {
    if (syndrome === 0x60) continue;
    const peer = new HandPeer();
    peer.side.send(1, peer.side.region(8).region);
    peer.take();
    const outcome = peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome } });
    const status = statuses[syndrome];
    assert.equal(outcome, status === undefined ? 'bad_syndrome' : '', `0x${syndrome.toString(16)}`);
    assert.deepEqual(peer.sendStatuses(), status === undefined ? [] : [`1:${status}`]);
    assert.equal(peer.qp.state, status === undefined ? QpState.RTS : QpState.ERR);
  }
});

test('MSN starts at 0 and advances after the last packet of a SEND or WRITE, not before', () => {
  const peer = new HandPeer({ mtu: 256 });
  const { region, grant } = peer.side.region(1024, ALL);
  peer.side.postRecv(1, region);
  const reth = { va: region.va, rkey: grant.rkey, length: 257 };
  peer.give({ opcode: Opcode.RC_SEND_FIRST, psn: 0, payloadLength: 256, ackReq: true });
  assert.deepEqual(peer.take(), ['ACK 0 msn 0']);
  peer.give({ opcode: Opcode.RC_SEND_LAST, psn: 1, payloadLength: 1, ackReq: true });
  assert.deepEqual(peer.take(), ['ACK 1 msn 1']);
  peer.give({ opcode: Opcode.RC_WRITE_FIRST, psn: 2, payloadLength: 256, ackReq: true, reth });
  assert.deepEqual(peer.take(), ['ACK 2 msn 1']);
  peer.give({ opcode: Opcode.RC_WRITE_LAST, psn: 3, payloadLength: 1, ackReq: true });
  assert.deepEqual(peer.take(), ['ACK 3 msn 2']);
});

test('MSN advances when a READ is accepted, before its data is sent, and when an atomic was executed', () => {
  const peer = new HandPeer({ mtu: 256 });
  const { region, grant } = peer.side.region(1024, ALL);
  const reth = { va: region.va, rkey: grant.rkey, length: 512 };
  const rc = peer.qp.responder as unknown as { msn: number };
  peer.give({ opcode: Opcode.RC_READ_REQUEST, psn: 0, reth });
  assert.equal(rc.msn, 1);
  const atomic = { va: region.va, rkey: grant.rkey, swapAdd: 1 };
  peer.give({ opcode: Opcode.RC_FETCH_ADD, psn: 2, atomic });
  assert.equal(rc.msn, 2);
  assert.deepEqual(peer.take(), [
    'READ_RESPONSE_FIRST 0 256',
    'READ_RESPONSE_LAST 1 256',
    'ATOMIC_ACKNOWLEDGE 2 0',
  ]);
});

test('a NAK and a duplicate ACK do not advance the MSN', () => {
  const peer = new HandPeer();
  peer.side.postRecv(1, peer.side.region(8).region);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 0, ackReq: true });
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 5, ackReq: true });
  assert.deepEqual(peer.take(), ['NAK_SEQ 1 msn 1']);
});

test('the requester does not depend on the MSN of an answer', () => {
  const peer = new HandPeer();
  peer.side.post({ opcode: WrOpcode.SEND, wrId: 1 }, [peer.side.region(8).region, 0, 8]);
  peer.take();
  peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: 0x1f, msn: 0xabcdef } });
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});
