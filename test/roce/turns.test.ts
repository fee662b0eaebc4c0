/** Whose turn it is to send: neither long packets nor many of them take more of a port than others get. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '../../src/roce/flow.js';
import type { Region } from '../../src/roce/memory/region.js';
import type { Qp } from '../../src/roce/qp/qp.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { TURN_COST, Turns } from '../../src/roce/turns.js';
import { toPsn } from '../../src/verbs/brands.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { createCompletions } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { NicPair, type Side } from '../../testkit/nic-pair.js';

const MTU = 4096;
const BATCH_PACKETS = 64;
/** What a packet costs beside its bytes. */
const PACKET_COST = 1024;
/** Requests that wait to be sent: of any size more than a batch takes. */
const BACKLOG = 100;
const COMPLETIONS = createCompletions(256);

/** 1 when all are equal, 1/n when one has all. */
function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  return sum ** 2 / (shares.length * shares.reduce((total, share) => total + share ** 2, 0));
}

/** Queue pairs of one NIC that nobody answers: they send as fast as the port takes it. */
class Senders {
  readonly side: Side;
  readonly qps: readonly Qp[];
  readonly batch = new TransmitBatch(BATCH_PACKETS);
  readonly #memory: Region;
  readonly #waiting: number[];
  /** Bytes of each request. */
  readonly #sizes: readonly number[];

  constructor(sizes: readonly number[]) {
    this.side = new NicPair({ type: QpType.UC, mtu: MTU, cqCapacity: 16_384 }).sides[0];
    this.#sizes = sizes;
    this.#memory = this.side.region(1024 * 1024).region;
    this.qps = sizes.map(() => {
      const capacity = { ...this.side.qp.capacity, maxSendWr: 2 * BACKLOG };
      const { pd, sendCq, recvCq } = this.side;
      const init = { type: QpType.UC, pd, sendCq, recvCq, srq: null, signalAll: true, capacity };
      const qp = this.side.nic.createQp(init, 0);
      qp.modify({ state: QpState.INIT, port: 1, pkeyIndex: 0, accessFlags: 0 });
      const av = { dgid: '::ffff:192.0.2.2' };
      qp.modify({ state: QpState.RTR, av, destQpn: this.side.qp.qpn, pathMtu: MTU, rqPsn: toPsn(0) });
      qp.modify({ state: QpState.RTS, sqPsn: toPsn(0) });
      return qp;
    });
    this.#waiting = sizes.map(() => 0);
  }

  post(which: number): void {
    const [qp, length] = [this.qps[which] as Qp, this.#sizes[which] as number];
    const sges = [{ mr: this.#memory, offset: 0, length }];
    qp.postSend({ wrId: which, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
    this.#waiting[which] = this.waiting(which) + 1;
  }

  /** Requests of a queue pair that have not left. */
  waiting(which: number): number {
    return this.#waiting[which] as number;
  }

  /** Fills one batch; returns what each has cost in it. */
  sendBatch(): number[] {
    const { nic, sendCq } = this.side;
    const before = this.qps.map(({ counters }) => ({ ...counters }));
    nic.pollTransmit(this.batch, 0);
    this.batch.reset();
    const completed = sendCq.poll(COMPLETIONS, COMPLETIONS.length);
    for (const { wrId } of COMPLETIONS.slice(0, completed)) this.#waiting[wrId] = this.waiting(wrId) - 1;
    return this.qps.map(({ counters: { txBytes, txPackets } }, i) => {
      const was = before[i] as { txBytes: number; txPackets: number };
      return txBytes - was.txBytes + (txPackets - was.txPackets) * PACKET_COST;
    });
  }

  /** Sends until the port has taken so much, while all of `greedy` always have something to send; returns who cost how much. */
  run(cost: number, greedy: readonly number[], between: () => void = () => {}): number[] {
    const shares = this.qps.map(() => 0);
    for (let sum = 0; sum < cost; ) {
      for (const which of greedy) while (this.waiting(which) < BACKLOG) this.post(which);
      between();
      for (const [i, part] of this.sendBatch().entries()) {
        shares[i] = (shares[i] as number) + part;
        sum += part;
      }
    }
    return shares;
  }
}

for (const [what, sizes] of [
  ['equal ones', new Array(8).fill(64 * 1024)],
  ['long and short packets', [64 * 1024, 64, 64 * 1024, 64, 1000, 2000, 3000, 5000]],
  ['one of long messages', [1024 * 1024, 4096]],
] as const) {
  test(`queue pairs that always have something to send have equal shares of the port: ${what}`, () => {
    const senders = new Senders(sizes);
    const shares = senders.run(
      500 * TURN_COST,
      sizes.map((_, i) => i),
    );
    assert.ok(jain(shares) > 0.99, `${jain(shares)}: ${shares.map((share) => Math.round(share / 1024))} KiB`);
  });
}

test('what waits for one that always sends waits for one turn of it', () => {
  const senders = new Senders([1024 * 1024, ...new Array(7).fill(64)]);
  const modest = [1, 2, 3, 4, 5, 6, 7];
  let longest = 0;
  let since = 0;
  senders.run(300 * TURN_COST, [0], () => {
    const wait = modest.some((which) => senders.waiting(which) > 0);
    longest = Math.max(longest, wait ? since + 1 : 0);
    since = wait ? since + 1 : 0;
    for (const which of modest) if (senders.waiting(which) === 0) senders.post(which);
  });
  // A batch holds four turns: what is posted before one leaves in it.
  assert.equal(longest, 0, 'batches that a message has waited for');
});

test('who had nothing to send has no turns saved up, and who had a long one pays for it', () => {
  const senders = new Senders([4096, 4096]);
  senders.run(50 * TURN_COST, [0]);
  const shares = senders.run(10 * TURN_COST, [0, 1]);
  assert.ok(jain(shares) > 0.97, `${shares}`);
  for (const { credit } of senders.qps) assert.ok(Math.abs(credit) < TURN_COST, `${credit}`);
});

test('who sends little at a time saves nothing up of its turns', () => {
  const senders = new Senders([4096, 64]);
  senders.run(50 * TURN_COST, [0], () => {
    if (senders.waiting(1) === 0) senders.post(1);
  });
  const credit = senders.qps[1]?.credit ?? assert.fail();
  assert.ok(credit <= 0, `${credit}`);
});

test('a sender whose turns cost too much has fewer of them', () => {
  const turns = new Turns();
  const batch = new TransmitBatch(BATCH_PACKETS);
  const costs = [0, 0];
  for (const [i, prolonged] of [0, TURN_COST / 2].entries()) {
    turns.enter({
      counters: { txPackets: 0, txBytes: 0 },
      scheduled: false,
      nextScheduled: null,
      credit: 0,
      destroyed: false,
      transmit(into) {
        const before = into.cost;
        const fill = () => {
          while (into.hasRoom) into.commit(new Flow(), 64, MTU);
        };
        fill();
        into.prolongTurn(prolonged);
        fill();
        costs[i] = (costs[i] as number) + into.cost - before;
        return true;
      },
    });
  }
  for (let i = 0; i < 200; i++) {
    while (batch.hasRoom && turns.take(batch, 0));
    batch.reset();
  }
  assert.ok(jain(costs) > 0.999, `${costs}`);
});

test('a step of the turns does the same however many wait: each of ten thousand is asked once', () => {
  const senders = new Senders(new Array(10_000).fill(64));
  // That they may send now is news as well.
  senders.sendBatch();
  for (let which = 0; which < 10_000; which++) senders.post(which);
  let asked = 0;
  for (const qp of senders.qps) {
    const { transmit } = qp;
    qp.transmit = (batch, now) => {
      asked++;
      return transmit.call(qp, batch, now);
    };
  }
  let left = 0;
  for (let batches = 0; senders.side.nic.wantsTransmit; batches++) {
    left += senders.side.nic.pollTransmit(senders.batch, 0);
    senders.batch.reset();
    assert.ok(asked <= left + 1 + batches, `${asked} turns for ${left} packets`);
  }
  assert.equal(left, 10_000);
});
