/** Which requests ask for an acknowledgement, and how those that do not ask get one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwedAcknowledgement } from '../../src/roce/qp/owed-acknowledgement.js';
import { bthAckReq } from '../../src/roce/wire/bth.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { type InFlight, NicPair, type PairOptions } from '../../testkit/nic-pair.js';

const DELAY_MICROS = 5;
/** The peer acknowledges of its own accord after so long. */
const QUIET_MICROS = 1000;
const PAUSE_MICROS = 5000;

interface Flow {
  readonly pair: NicPair;
  /** Posts one message, and lets the time of a round trip pass. */
  send(signaled?: boolean): void;
  /** Of the messages that were sent so far, which ask. */
  asking(): boolean[];
}

function openFlow(options: PairOptions = {}): Flow {
  const pair = new NicPair({ signalAll: false, delayMicros: DELAY_MICROS, ...options });
  const [a, b] = pair.sides;
  const { region } = a.region(64);
  const target = b.region(64).region;
  return {
    pair,
    send(signaled = false) {
      b.postRecv(1, target);
      a.post({ opcode: WrOpcode.SEND, wrId: 1, signaled }, [region, 0, 64]);
      pair.runFor(3 * DELAY_MICROS);
    },
    asking: () => pair.sent.filter(isMessage).map(({ bytes, packet }) => bthAckReq(bytes, packet.at) === 1),
  };
}

const isMessage = ({ packet }: InFlight): boolean => packet.opcode === Opcode.RC_SEND_ONLY;
const isAcknowledgement = ({ packet }: InFlight): boolean => packet.opcode === Opcode.RC_ACKNOWLEDGE;

test('in a flow that goes on, unsignaled messages ask once in half a window, and the peer acknowledges the last by itself', () => {
  const { pair, send, asking } = openFlow();
  const [a, b] = pair.sides;
  for (let i = 0; i < 11; i++) send();
  const isAsking = [true, false, false, false, false, false, false, false, true, false, false];
  assert.deepEqual(asking(), isAsking);
  assert.equal(pair.sent.filter(isAcknowledgement).length, 2);
  const lastAt = pair.now;
  pair.run(() => a.qp.requester.idle);
  assert.equal(a.qp.requester.idle, true);
  assert.ok(pair.now - lastAt <= 2 * QUIET_MICROS, `${pair.now - lastAt} µs`);
  pair.run();
  assert.equal(pair.sent.filter(isAcknowledgement).length, 3);
  assert.equal(a.nic.counters.retransmittedPackets, 0);
  assert.equal(a.nic.counters.probes, 0);
  assert.equal(b.statuses('recv').length, 11);
});

test('an acknowledgement that was asked for settles what the peer owes', () => {
  const { pair, send, asking } = openFlow();
  send();
  send();
  send(true);
  pair.run();
  assert.deepEqual(asking(), [true, false, true]);
  assert.equal(pair.sent.filter(isAcknowledgement).length, 2);
});

test('an acknowledgement that has not left covers what came since it was asked for', () => {
  const peer = new HandPeer({ mtu: 256 });
  for (let id = 0; id < 4; id++) peer.side.postRecv(id, peer.side.region(8).region);
  for (let psn = 0; psn < 3; psn++)
    assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq: psn === 0 }), '');
  assert.deepEqual(peer.take(), ['ACK 2 msn 3']);
  assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn: 3, ackReq: false }), '');
  assert.deepEqual(peer.take(), []);
});

test('a message whose completion nobody waits for asks as one without, and completes when the peer acknowledges by itself', () => {
  const { pair, asking } = openFlow();
  const [a, b] = pair.sides;
  const { region } = a.region(64);
  const target = b.region(64).region;
  for (let i = 0; i < 5; i++) {
    b.postRecv(1, target);
    a.post({ opcode: WrOpcode.SEND, wrId: i, unhurried: i < 4 }, [region, 0, 64]);
    pair.runFor(3 * DELAY_MICROS);
    if (i === 3) {
      assert.deepEqual(a.statuses('send'), ['0:SUCCESS']);
      pair.runFor(2 * QUIET_MICROS);
      assert.deepEqual(a.statuses('send'), ['1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
    }
  }
  assert.deepEqual(asking(), [true, false, false, false, true]);
  assert.deepEqual(a.statuses('send'), ['4:SUCCESS']);
});

test('a message asks when its completion is awaited, and when the flow had paused', () => {
  const { pair, send, asking } = openFlow();
  send();
  send(true);
  send();
  pair.run();
  pair.now += PAUSE_MICROS;
  send();
  send();
  assert.deepEqual(asking(), [true, true, false, true, false]);
  pair.run();
  assert.deepEqual(pair.sides[0].statuses('send'), ['1:SUCCESS']);
});

test('every message asks where all requests are signaled, and where the timeout is short', () => {
  for (const options of [{ signalAll: true }, { attributes: { timeout: 10 } }] satisfies PairOptions[]) {
    const { send, asking } = openFlow(options);
    for (let i = 0; i < 4; i++) send();
    assert.deepEqual(asking(), [true, true, true, true]);
  }
});

test('every message asks on a path that has lost a packet lately', () => {
  const { pair, send, asking } = openFlow();
  const [, b] = pair.sides;
  send();
  pair.tap = (item) => !isMessage(item);
  send();
  pair.tap = undefined;
  send();
  pair.run();
  assert.equal(b.statuses('recv').length, 3);
  const before = asking().length;
  for (let i = 0; i < 4; i++) send();
  assert.deepEqual(asking().slice(before), [true, true, true, true]);
});

test('the last message of a flow arrives although it did not ask and was lost', () => {
  const { pair, send, asking } = openFlow();
  const [a, b] = pair.sides;
  send();
  pair.tap = (item) => !isMessage(item);
  send();
  pair.tap = undefined;
  assert.deepEqual(asking(), [true, false]);
  pair.run();
  assert.equal(b.statuses('recv').length, 2);
  assert.equal(a.nic.counters.timeouts, 0);
  assert.equal(a.qp.state, QpState.RTS);
});

test('a peer that acknowledges nothing by itself is asked by one probe, and with every message after it', () => {
  const { pair, send, asking } = openFlow();
  const [a] = pair.sides;
  send();
  // What this peer says without being asked is lost.
  const isAsked = () => asking().at(-1) === true;
  pair.tap = (item) => !isAcknowledgement(item) || isAsked();
  send();
  pair.run();
  assert.equal(a.nic.counters.probes, 1);
  assert.equal(a.nic.counters.retransmittedPackets, 1);
  assert.equal(a.qp.requester.idle, true);
  // A probe whose answer is as quick as a round trip says that the path lost something: that must be forgotten first.
  pair.now += 3_000_000;
  const before = asking().length;
  for (let i = 0; i < 4; i++) send();
  assert.deepEqual(asking().slice(before), [true, true, true, true]);
  assert.equal(a.nic.counters.probes, 1);
});

test('a queue pair that ends gives the acknowledgement that it owes', () => {
  for (const end of ['destroyed', 'moved to ERR']) {
    const { pair, send } = openFlow();
    const [a, b] = pair.sides;
    send();
    send();
    assert.equal(a.qp.requester.idle, false, end);
    if (end === 'destroyed') assert.equal(b.qp.prepareDestroy(), true);
    else b.qp.modify({ state: QpState.ERR });
    pair.run(() => a.qp.requester.idle);
    assert.equal(a.qp.requester.idle, true, end);
    assert.equal(a.nic.counters.retransmittedPackets, 0, end);
  }
});

test('the timer of an owed acknowledgement is set once for many requests', () => {
  const owed = new OwedAcknowledgement();
  assert.equal(owed.wakeAt, Number.POSITIVE_INFINITY);
  assert.equal(owed.owe(0), true);
  for (let now = 10; now < QUIET_MICROS; now += 10) assert.equal(owed.owe(now), false);
  assert.equal(owed.wakeAt, QUIET_MICROS);
  assert.equal(owed.isDue(QUIET_MICROS), false, 'the last request came a moment ago');
  assert.equal(owed.wakeAt, 990 + QUIET_MICROS);
  assert.equal(owed.isDue(owed.wakeAt), true);
  owed.settle();
  assert.equal(owed.wakeAt, Number.POSITIVE_INFINITY);
  owed.owe(5000);
  owed.settle();
  assert.equal(owed.isDue(5000 + QUIET_MICROS), false, 'another answer has said it');
  assert.equal(owed.wakeAt, Number.POSITIVE_INFINITY);
});
