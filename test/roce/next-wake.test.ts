/** When a NIC wants to be woken: not for what has come meanwhile, and in time for all that has not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deadlines } from '../../src/roce/deadlines.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { NicPair } from '../../testkit/nic-pair.js';
import { Random } from '../../testkit/random.js';

const NEVER = Number.POSITIVE_INFINITY;
const REMOTE = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE;
const DELAY_MICROS = 50;

function writingPair(): { pair: NicPair; write: () => void } {
  const pair = new NicPair({ mtu: 256, delayMicros: DELAY_MICROS });
  const [a, b] = pair.sides;
  const { region, grant } = b.region(256, REMOTE);
  const source = a.region(256, 0, 3).region;
  const write = (): void =>
    a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, remoteVa: region.va, rkey: grant.rkey }, [source, 0, 256]);
  return { pair, write };
}

test('a NIC whose answers have all come need not be woken', () => {
  const { pair, write } = writingPair();
  const [{ nic }] = pair.sides;
  assert.equal(nic.nextWake(), NEVER);
  write();
  pair.runFor(1);
  assert.equal(nic.nextWake(), nic.nextDeadline(), 'the answer is under way');
  pair.runFor(4 * DELAY_MICROS);
  assert.notEqual(nic.nextDeadline(), NEVER, 'arming is lazy');
  assert.equal(nic.nextWake(), NEVER);
  assert.equal(nic.nextDeadline(), NEVER);
});

test('a NIC is woken for what was sent later, no sooner and no later than that needs', () => {
  const { pair, write } = writingPair();
  const [{ nic, qp }] = pair.sides;
  // It knows the path from then on, and looks after answers that are late.
  write();
  pair.run();
  write();
  pair.runFor(4 * DELAY_MICROS);
  const first = nic.nextDeadline();
  pair.runFor(1000);
  write();
  pair.tap = () => false;
  pair.runFor(1);
  assert.equal(nic.nextDeadline(), first, 'arming is lazy');
  const wake = nic.nextWake();
  assert.ok(wake > first, `${wake} after ${first}`);
  assert.equal(wake, qp.nextDeadline);
  const packets = nic.counters.retransmittedPackets;
  pair.runFor(wake - pair.now - 1);
  assert.equal(nic.counters.retransmittedPackets, packets);
  pair.runFor(2);
  assert.equal(nic.counters.retransmittedPackets, packets + 1, 'and then it does something');
});

const seed = Date.now() % 1_000_000;
test(`what is postponed is woken in its order, and what is not at its time (seed ${seed})`, () => {
  const random = new Random(seed);
  const deadlines = new Deadlines<{ heapIndex: number; heapKey: number; wants: number }>();
  const items = Array.from({ length: 200 }, () => ({ heapIndex: -1, heapKey: NEVER, wants: 0 }));
  for (const item of items) {
    const at = random.unit() * 1000;
    item.wants = random.unit() < 0.3 ? NEVER : random.unit() < 0.5 ? at : at + random.unit() * 1000;
    deadlines.arm(item, at);
  }
  const woken: number[] = [];
  for (let first = deadlines.first; first !== null; first = deadlines.first) {
    if (first.wants > first.heapKey) deadlines.postponeFirst(first.wants);
    else woken.push((deadlines.popDue(first.heapKey) ?? first).wants);
  }
  const wanted = items.map(({ wants }) => wants).filter((wants) => wants !== NEVER);
  assert.deepEqual(
    woken,
    wanted.toSorted((a, b) => a - b),
  );
  assert.equal(deadlines.size, 0);
});
