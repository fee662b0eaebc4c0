/** The requester where something is lost or the peer is not ready: going back, retries, pauses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../../src/roce/wire/opcodes.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { pattern } from '../../../testkit/craft-packet.js';
import { answer, data, MTU, NAK_SEQ, newPeer, REMOTE_VA, RNR, read, send } from './requester-steps.js';

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
