/** The sender's window: ECN marks and notifications (DCQCN), its floor, pacing, and paths with short queues. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Congestion, MAX_WINDOW, MIN_WINDOW } from '../../src/roce/qp/congestion.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { NicPair } from '../../testkit/nic-pair.js';
import { GoodputRun } from '../../tools/sim/goodput-model.js';

const RTT_MICROS = 100;

/** A window that has seen a path of 100 µs, which takes `packets` a round trip, and filled it. */
function onPath(rounds: number): { congestion: Congestion; now: number } {
  const congestion = new Congestion();
  congestion.reset();
  let now = 0;
  for (let round = 0; round < rounds; round++) {
    now += RTT_MICROS;
    congestion.onLimit();
    congestion.onProgress(congestion.window, now);
    congestion.onRoundTrip(RTT_MICROS, true, now);
  }
  return { congestion, now };
}

// --- marks and notifications on the wire ------------------------------------------------------------------------------

test('a packet with a CE mark is answered by a CNP, with BECN and 16 zero bytes, and is carried out all the same', () => {
  const pair = new NicPair({ mtu: 256 });
  const [a, b] = pair.sides;
  b.postRecv(1, b.region(16).region);
  pair.marked = (item) => item.to === 1;
  a.send(1, a.region(16, 0, 1).region);
  pair.run();
  const cnps = pair.sent.filter(({ packet }) => packet.opcode === Opcode.CNP);
  assert.equal(cnps.length, 1);
  const [cnp] = cnps;
  assert.equal(cnp?.to, 0);
  assert.equal(cnp?.packet.destQpn, a.qp.qpn);
  assert.equal((cnp?.bytes[4] as number) & 0x40, 0x40, 'BECN');
  assert.deepEqual(cnp?.bytes.subarray(12, 28), new Uint8Array(16));
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  assert.equal(a.nic.counters.cnpsReceived, 1);
});

test('however many packets are marked, one CNP leaves in 50 µs', () => {
  const pair = new NicPair({ mtu: 256, delayMicros: 200 });
  const [a, b] = pair.sides;
  for (let id = 0; id < 30; id++) b.postRecv(id, b.region(8).region);
  pair.marked = (item) => item.to === 1;
  for (let id = 0; id < 30; id++) a.send(id, a.region(8, 0, id).region);
  pair.run();
  const times = pair.sent.filter(({ packet }) => packet.opcode === Opcode.CNP).map(({ at }) => at);
  assert.equal(b.nic.counters.congestionMarks, 30);
  assert.equal(times.length >= 1 && times.length < 10, true, `${times.length} notifications`);
  for (const [i, at] of times.entries()) assert.equal(i === 0 || at - (times[i - 1] as number) >= 50, true);
});

test('a packet that is marked 49 µs after a CNP gets none, one that is marked after 50 µs does', () => {
  const peer = new HandPeer({ mtu: 256 });
  for (let id = 0; id < 4; id++) peer.side.postRecv(id, peer.side.region(8).region);
  const isAnswered = (psn: number): boolean => {
    assert.equal(peer.give({ opcode: Opcode.RC_SEND_ONLY, psn, ackReq: true, isMarked: true }), '');
    return peer.takePackets().some(({ packet }) => packet.opcode === Opcode.CNP);
  };
  assert.equal(isAnswered(0), true);
  peer.pair.now += 49;
  assert.equal(isAnswered(1), false);
  peer.pair.now += 1;
  assert.equal(isAnswered(2), true);
  assert.equal(isAnswered(3), false);
});

test('a CNP makes a window smaller, and one that nobody asked for does no other harm', () => {
  const peer = new HandPeer({ mtu: 256 });
  peer.side.send(1, peer.side.region(8, 0, 1).region);
  peer.take();
  const requester = peer.qp.requester as unknown as { congestion: Congestion };
  const before = requester.congestion.window;
  assert.equal(peer.give({ opcode: Opcode.CNP, psn: 0, payload: new Uint8Array(16) }), '');
  assert.equal(requester.congestion.window < before, true);
  assert.deepEqual(peer.take(), []);
  assert.equal(peer.give({ opcode: Opcode.RC_ACKNOWLEDGE, psn: 0, aeth: { syndrome: 0x1f } }), '');
  assert.deepEqual(peer.sendStatuses(), ['1:SUCCESS']);
});

// --- DCQCN ------------------------------------------------------------------------------------------------------------

test('a notification cuts the window by half at most, once a round trip', () => {
  const { congestion } = onPath(8);
  const before = congestion.window;
  congestion.onNotice();
  const after = congestion.window;
  // alpha has decayed from 1 over eight quiet round trips.
  assert.equal(after < before && after >= before / 2, true, `${before} to ${after}`);
  congestion.onNotice();
  congestion.onNotice();
  assert.equal(congestion.window, after, 'more of them in the same round trip change nothing');
});

test('alpha follows how many round trips bring notifications: rare ones cut little, steady ones cut deep', () => {
  const cutAfter = (quietRounds: number): number => {
    const { congestion } = onPath(quietRounds);
    const before = congestion.window;
    congestion.onNotice();
    return congestion.window / before;
  };
  assert.equal(cutAfter(100) > cutAfter(5), true);
  assert.equal(cutAfter(200) > 0.95, true);
});

test('however many notifications and timeouts come, the window never falls below its floor', () => {
  const { congestion } = onPath(20);
  let { now } = onPath(20);
  for (let round = 0; round < 500; round++) {
    now += RTT_MICROS;
    congestion.onNotice();
    if (round % 3 === 0) congestion.onTimeout();
    assert.equal(congestion.window >= MIN_WINDOW, true, `${congestion.window} in round ${round}`);
    congestion.onRoundTrip(RTT_MICROS, true, now);
  }
  assert.equal(congestion.window, MIN_WINDOW);
});

test('without notifications the window comes back from the floor', () => {
  const { congestion } = onPath(20);
  let { now } = onPath(20);
  for (let round = 0; round < 100; round++) {
    now += RTT_MICROS;
    congestion.onNotice();
    congestion.onRoundTrip(RTT_MICROS, true, now);
  }
  for (let round = 0; round < 300; round++) {
    now += RTT_MICROS;
    congestion.onLimit();
    congestion.onProgress(congestion.window, now);
    congestion.onRoundTrip(RTT_MICROS, true, now);
  }
  assert.equal(congestion.window > 100, true, `${congestion.window}`);
});

test('a flow that never fills its window keeps it when its first round trips were held up', () => {
  const congestion = new Congestion();
  let now = 0;
  for (const micros of [300, 10, 4000, 12, 900]) {
    now += micros;
    congestion.onProgress(1, now);
    congestion.onRoundTrip(micros, true, now);
  }
  assert.equal(congestion.window, 16);
  congestion.onLimit();
  congestion.onRoundTrip(900, true, now);
  assert.equal(congestion.window < 16, true, `${congestion.window}`);
});

test('the window never grows beyond what duplicates can be told from new packets by', () => {
  const { congestion } = onPath(1000);
  assert.equal(congestion.window, MAX_WINDOW);
});

test('large windows are paced: after a burst, packets leave at the speed of the path', () => {
  const { congestion, now } = onPath(100);
  congestion.onSent(congestion.window, now);
  const waits = congestion.nextSendAt - now;
  assert.equal(waits > 0 && waits <= RTT_MICROS, true, `${waits} µs`);
});

test('what left while the path seemed long waits no longer when it turns out to be short', () => {
  const { congestion, now } = onPath(20);
  for (let i = 0; i < 2 * congestion.window; i++) congestion.onSent(1, now);
  const wait = congestion.nextSendAt - now;
  assert.equal(wait > RTT_MICROS / 2, true, `${wait}`);
  congestion.onRoundTrip(RTT_MICROS / 10, true, now);
  assert.equal(congestion.nextSendAt - now < wait / 5, true, `${congestion.nextSendAt - now} of ${wait}`);
});

test('the window waits for a round trip to be known before it grows', () => {
  const congestion = new Congestion();
  congestion.reset();
  const initial = congestion.window;
  for (let round = 1; round <= 20; round++) {
    congestion.onLimit();
    congestion.onProgress(congestion.window, round * RTT_MICROS);
    // Answers after a loss that may have been to an earlier transmission.
    congestion.onRoundTrip(RTT_MICROS, false, round * RTT_MICROS);
  }
  assert.equal(congestion.window, initial);
  congestion.onRoundTrip(RTT_MICROS, true, 21 * RTT_MICROS);
  congestion.onLimit();
  congestion.onProgress(congestion.window, 22 * RTT_MICROS);
  assert.equal(congestion.window, 2 * initial);
});

// --- short queues -----------------------------------------------------------------------------------------------------

const path = {
  bitsPerSecond: 10e9,
  rttMicros: 100,
  loss: 0,
  queuePackets: 64,
  ecnPackets: 0,
  mtu: 4096,
  maxRdAtomic: 16,
  connections: 1,
  seed: 7,
} as const;

for (const read of [false, true]) {
  test(`${read ? 'READs' : 'WRITEs'} fill a path whose queue holds 64 packets`, () => {
    const { share } = new GoodputRun({ ...path, read }).run(50_000, 20_000);
    assert.equal(share > 0.98, true, `${share}`);
  });
}

test('marks keep the queue short: nothing is dropped, and the path stays full', () => {
  const { share, tailDropped } = new GoodputRun({ ...path, read: false, ecnPackets: 16, connections: 2 }).run(
    50_000,
    20_000,
  );
  assert.equal(tailDropped, 0);
  assert.equal(share > 0.95, true, `${share}`);
});

test('random loss of one packet in a hundred costs no more than going back does', () => {
  const { share } = new GoodputRun({ ...path, read: false, loss: 0.01 }).run(20_000, 60_000);
  const bound = 0.99 / (0.99 + 0.01 * 31);
  assert.equal(share > 0.8 * bound, true, `${share} of ${bound}`);
});

test('READs over a short path fill it however early the first packets are lost', () => {
  for (let seed = 11; seed <= 20; seed++) {
    const run = new GoodputRun({ ...path, rttMicros: 10, read: true, loss: 0.05, seed });
    const { share } = run.run(2000, 13_000);
    const bound = 0.95 / (0.95 + 0.05 * 4);
    assert.equal(share > 0.7 * bound, true, `seed ${seed}: ${share} of ${bound}`);
  }
});
