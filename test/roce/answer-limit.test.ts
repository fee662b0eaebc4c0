/** Duplicates are answered at a limited rate, and yet every peer that lost an answer gets one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { HandPeer } from '../../testkit/hand-peer.js';

const BURST = 32;
const INTERVAL_MICROS = 100;

/** A peer whose request of PSN 0 has been answered. */
function newPeer(receives = 1): HandPeer {
  const peer = new HandPeer();
  for (let i = 0; i < receives; i++) peer.side.postRecv(i, peer.side.region(64).region);
  send(peer, 0);
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
  return peer;
}

const send = (peer: HandPeer, psn: number): string =>
  peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq: true, payloadLength: 4 });

/** Gives `count` duplicates, each when the answer to the one before has left; returns the answers. */
function duplicates(peer: HandPeer, count: number): string[] {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) {
    assert.equal(send(peer, -i), 'duplicate');
    answers.push(...peer.take());
  }
  return answers;
}

test('a flood of duplicates gets a burst of answers, then one each interval', () => {
  const peer = newPeer();
  assert.equal(duplicates(peer, 1000).length, BURST);
  let answers = 0;
  for (let i = 0; i < 50; i++) {
    peer.wait(INTERVAL_MICROS);
    answers += peer.take().length + duplicates(peer, 100).length;
  }
  assert.equal(answers, 50);
  assert.equal(peer.qp.counters.snapshot()['duplicateRequests'], 6000);
});

test('who is owed an answer gets it when its time comes, and once', () => {
  const peer = newPeer();
  duplicates(peer, BURST + 1);
  peer.wait(INTERVAL_MICROS - 1);
  assert.deepEqual(peer.take(), []);
  peer.wait(1);
  assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
  peer.wait(100 * INTERVAL_MICROS);
  assert.deepEqual(peer.take(), []);
});

test('an answer to what came in order says what was owed', () => {
  const peer = newPeer(2);
  duplicates(peer, BURST + 1);
  send(peer, 1);
  assert.deepEqual(peer.take(), ['ACK 1 msn 2'], 'requests in order are answered at once at any rate');
  peer.wait(100 * INTERVAL_MICROS);
  assert.deepEqual(peer.take(), []);
});

test('after a quiet time there is a whole burst again, and no more', () => {
  const peer = newPeer();
  duplicates(peer, 1000);
  peer.wait(1000 * BURST * INTERVAL_MICROS);
  peer.take();
  assert.equal(duplicates(peer, 1000).length, BURST);
});

test('duplicates that come together share an answer and count once', () => {
  const peer = newPeer();
  for (let round = 0; round < BURST; round++) {
    for (let i = 0; i < 20; i++) send(peer, 0);
    assert.deepEqual(peer.take(), ['ACK 0 msn 1']);
  }
});

test('a queue pair that failed owes nothing any more', () => {
  const peer = newPeer();
  duplicates(peer, BURST + 1);
  peer.qp.modify({ state: QpState.ERR });
  peer.wait(100 * INTERVAL_MICROS);
  assert.deepEqual(peer.take(), []);
});
