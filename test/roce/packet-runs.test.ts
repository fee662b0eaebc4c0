/** Packets from the middle of a message leave several at a time: as the same packets, and no more, than one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Flow } from '../../src/roce/flow.js';
import { RegionTable } from '../../src/roce/memory/region-table.js';
import { AckRequests } from '../../src/roce/qp/ack-requests.js';
import { Congestion } from '../../src/roce/qp/congestion.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { HandPeer } from '../../testkit/hand-peer.js';
import { type InFlight, NicPair } from '../../testkit/nic-pair.js';
import { Random } from '../../testkit/random.js';

const MTU = 256;
const BYTES = 150 * MTU + 17;
/** More than the first windows hold: sending stops and goes on by acknowledgements and by pace. */
const MESSAGES = 4;

const { RDMA_WRITE, SEND } = WrOpcode;
const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlags;

/** What the link carried for messages whose payload lies in the pieces that end at `cuts` and at its end. */
function packetsOf(opcode: number, cuts: readonly number[]): string[] {
  const pair = new NicPair({ mtu: MTU, delayMicros: 5 });
  const [a, b] = pair.sides;
  const { region } = a.region(BYTES, LOCAL_WRITE, 3);
  const { region: target, grant } = b.region(BYTES, LOCAL_WRITE | REMOTE_WRITE);
  const ends = [...cuts, BYTES];
  const pieces = ends.map((end, i): [typeof region, number, number] => {
    const from = ends[i - 1] ?? 0;
    return [region, from, end - from];
  });
  for (let id = 0; id < MESSAGES; id++) {
    if (opcode === SEND) b.postRecv(id, target);
    a.post({ opcode, wrId: id, remoteVa: grant.va, rkey: grant.rkey }, ...pieces);
  }
  pair.run();
  assert.deepEqual(a.statuses('send'), ['0:SUCCESS', '1:SUCCESS', '2:SUCCESS', '3:SUCCESS']);
  assert.deepEqual(target.bytes, region.bytes);
  assert.equal(a.nic.counters.retransmittedPackets, 0);
  return pair.sent.filter((sent) => sent.to === 1).map(describe);
}

/** The ICRC stands for the rest. Times are sums of fractions, rounded in another order. */
const describe = ({ packet, bytes, at }: InFlight): string =>
  `${at.toFixed(6)}: ${packet.opcode} ${packet.psn} ${packet.ackReq} ${Buffer.from(bytes).toString('hex').slice(-8)}`;

for (const [name, opcode] of [
  ['WRITE', RDMA_WRITE],
  ['SEND', SEND],
] as const) {
  test(`a ${name} from one piece of memory leaves as the same packets at the same times as one from two`, () => {
    const inRuns = packetsOf(opcode, []);
    assert.equal(inRuns.length, MESSAGES * 151);
    assert.deepEqual(inRuns, packetsOf(opcode, [700]));
  });
}

test('of memory that is deregistered in the middle of a message nothing leaves any more, wherever sending stands', () => {
  const isRequest = ({ to }: InFlight): boolean => to === 1;
  for (let sent = 2; sent < 150; sent++) {
    const pair = new NicPair({ mtu: MTU, delayMicros: 5 });
    const [a, b] = pair.sides;
    const { region } = a.region(BYTES, LOCAL_WRITE, 3);
    const { grant } = b.region(BYTES, LOCAL_WRITE | REMOTE_WRITE);
    a.post({ opcode: RDMA_WRITE, wrId: 1, remoteVa: grant.va, rkey: grant.rkey }, [region, 0, BYTES]);
    pair.run(() => pair.sent.filter(isRequest).length >= sent);
    const before = pair.sent.filter(isRequest).length;
    a.nic.regions.deregister(region);
    pair.run();
    assert.equal(pair.sent.filter(isRequest).length, before);
    assert.deepEqual(a.statuses('send'), [before > 150 ? '1:SUCCESS' : '1:LOC_PROT_ERR']);
  }
});

test('a READ answer ends where its memory is deregistered, wherever it stands', () => {
  const packets = 6;
  for (let sent = 1; sent < packets; sent++) {
    const peer = new HandPeer({ mtu: MTU });
    const { region, grant } = peer.side.region(packets * MTU, REMOTE_READ, 3);
    const reth = { va: grant.va, rkey: grant.rkey, length: packets * MTU };
    assert.equal(peer.give({ opcode: Opcode.RC_READ_REQUEST, psn: 0, ackReq: true, reth }), '');
    const opcodes = [
      'READ_RESPONSE_FIRST 0',
      ...Array.from({ length: 4 }, (_, i) => `READ_RESPONSE_MIDDLE ${i + 1}`),
    ];
    for (const expected of opcodes.slice(0, sent))
      assert.equal(peer.takeOne().startsWith(expected), true, expected);
    peer.nic.regions.deregister(region);
    assert.deepEqual(peer.take(), [`NAK_ACCESS ${sent} msn 1`]);
  }
});

test('of the packets that a run may have none asks, and the one behind them does', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 3, max: 200 }),
      fc.boolean(),
      fc.nat({ max: 40 }),
      (window, isNear, before) => {
        const single = new AckRequests();
        const runs = new AckRequests();
        for (const requests of [single, runs]) requests.startAt(0);
        for (let i = 0; i < before; i++) {
          if (single.mustAsk(false, false, isNear, window, 0)) single.onAsked(i);
          if (runs.mustAsk(false, false, isNear, window, 0)) runs.onAsked(i);
        }
        const quiet = runs.quietPackets(isNear, window);
        for (let i = 0; i < quiet; i++) assert.equal(single.mustAsk(false, false, isNear, window, 0), false);
        if (quiet > 0) runs.onRun(quiet, 0);
        assert.equal(single.mustAsk(false, false, isNear, window, 0), true);
        assert.equal(runs.mustAsk(false, false, isNear, window, 0), true);
      },
    ),
  );
});

/** A controller that has grown on a path of 100 µs and paces. */
function paced(): { congestion: Congestion; now: number } {
  const congestion = new Congestion();
  let now = 0;
  for (let round = 0; round < 40; round++, now += 100) {
    congestion.onLimit();
    congestion.onProgress(congestion.window, now);
    congestion.onRoundTrip(100, true, now);
  }
  return { congestion, now };
}

test('as many packets may leave at once as leave one by one before pacing stops them, also after a pause', () => {
  const random = new Random(7);
  for (let round = 0; round < 200; round++) {
    const { congestion, now: start } = paced();
    // Some have left already, at some time; then this much later:
    for (let i = random.below(120); i > 0; i--) congestion.onSent(1, start);
    const now = start + random.below(400) / 7;
    const allowed = congestion.packetsNow(now);
    let left = 0;
    for (; congestion.nextSendAt <= now && left < 2000; left++) congestion.onSent(1, now);
    // Times are sums of fractions: one packet more or less is the rounding's.
    assert.equal(Math.abs(allowed - left) <= 1, true, `${allowed} at once, ${left} one by one`);
  }
});

test('a batch has room for as many packets as leave `hasRoom` true before each', () => {
  const flow = new Flow();
  const { region } = new RegionTable(new Random(1).u32).register(new Uint8Array(4096), 0, 1);
  for (const [capacity, turn] of [
    [64, 77_760],
    [64, 10_000],
    [10, 77_760],
  ] as const) {
    const batch = new TransmitBatch(capacity);
    batch.beginTurn(turn);
    const room = batch.roomFor(12, 4096);
    let left = 0;
    for (; batch.hasRoom; left++) {
      batch.begin();
      batch.addSegment(region, 0, 4096);
      batch.commit(flow, 12, 4096);
      assert.equal(batch.roomFor(12, 4096), room - left - 1);
    }
    assert.equal(room, left);
  }
});
