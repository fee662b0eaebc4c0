/** Queues have as many places as were needed at once: growing keeps what is in them, in its order, wherever the ring stands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Cq } from '../../src/roce/completion/cq.js';
import { Region } from '../../src/roce/memory/region.js';
import { ReadRequests } from '../../src/roce/qp/read-requests.js';
import { CurrentReceive, ReceiveQueue } from '../../src/roce/qp/receive-queue.js';
import { SavedOperations } from '../../src/roce/qp/saved-operations.js';
import { SendQueue } from '../../src/roce/qp/send-queue.js';
import { createCompletions } from '../../src/verbs/work-completion.js';

const region = new Region(new Uint8Array(1 << 16), 0, 0, 1, 0);
/** How many come and how many go, in turn. */
const steps = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 30 });
const capacities = fc.constantFrom(1, 3, 4, 5, 12, 68, 128);

test('a receive queue that grows gives receives with their pieces, in the order of posting', () => {
  fc.assert(
    fc.property(capacities, steps, (capacity, turns) => {
      const queue = new ReceiveQueue(capacity, 2);
      const current = new CurrentReceive(2);
      let posted = 0;
      let taken = 0;
      for (const [come, go] of turns) {
        for (let i = 0; i < come && !queue.full; i++, posted++) {
          const slot = queue.push(posted);
          queue.sges.add(slot, region, posted, posted + 1);
          if (posted % 2 === 0) queue.sges.add(slot, region, 0, 7);
        }
        for (let i = 0; i < go && queue.takeInto(current); i++, taken++) {
          assert.equal(current.wrId, taken);
          assert.equal(current.capacity, taken + 1 + (taken % 2 === 0 ? 7 : 0));
          current.release();
        }
        assert.equal(queue.count, posted - taken);
      }
    }),
  );
});

test('a send queue that grows keeps its elements, their lists and their inline data', () => {
  fc.assert(
    fc.property(capacities, steps, (capacity, turns) => {
      const queue = new SendQueue(capacity, 1, 8, 1, false);
      for (const [come, go] of turns) {
        for (let i = 0; i < come && !queue.full; i++) {
          const wqe = queue.reserve();
          wqe.wrId = queue.tail;
          if (wqe.wrId % 3 === 0) queue.setInline(wqe, new Uint8Array(5).fill(wqe.wrId));
          else queue.sges.add(wqe.slot, region, 0, wqe.wrId);
          queue.commit();
        }
        const slots = new Set<number>();
        for (let index = queue.head; index < queue.tail; index++) {
          const wqe = queue.at(index);
          assert.equal(wqe.wrId, index);
          assert.equal(queue.sges.totalLength(wqe.slot), index % 3 === 0 ? 5 : index);
          slots.add(wqe.slot);
        }
        assert.equal(slots.size, queue.tail - queue.head);
        for (let i = 0; i < go && !queue.empty; i++) queue.retire();
      }
    }),
  );
});

test('a completion queue that grows gives its entries in their order, up to its capacity', () => {
  fc.assert(
    fc.property(capacities, steps, (capacity, turns) => {
      let overruns = 0;
      const cq = new Cq(capacity, { completions: 0, cqFired() {}, cqOverrun: () => void overruns++ });
      const into = createCompletions(20);
      let pushed = 0;
      let polled = 0;
      for (const [come, go] of turns) {
        for (let i = 0; i < come && cq.count < capacity; i++, pushed++) {
          cq.push(pushed * 2 ** 20, pushed & 7, 128, pushed + 1, 77, 2, pushed | 0x8000_0000, 5, false);
        }
        const count = cq.poll(into, go);
        for (let i = 0; i < count; i++, polled++) {
          const { wrId, status, opcode, byteLen, qpn, flags, imm, srcQpn } = into[i] as (typeof into)[0];
          assert.deepEqual(
            [wrId, status, opcode, byteLen, qpn, flags, imm, srcQpn],
            [polled * 2 ** 20, polled & 7, 128, polled + 1, 77, 2, (polled | 0x8000_0000) >>> 0, 5],
          );
        }
      }
      assert.equal(overruns, 0);
      while (cq.count < capacity) cq.push(0, 0, 0, 0, 0, 0, 0, 0, false);
      cq.push(0, 0, 0, 0, 0, 0, 0, 0, false);
      assert.equal(overruns, 1);
    }),
  );
});

test('a responder remembers as many operations as it was told, and READs are as many as the peer remembers', () => {
  const saved = new SavedOperations(3);
  const places = [1, 2, 3].map(() => saved.reserve());
  assert.equal(new Set(places).size, 3);
  assert.equal(saved.reserve(), places[0]);
  const reads = new ReadRequests(3);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 3; i++) reads.push(10 * round + i, 10 * round + i + 1);
    assert.equal(reads.full, true);
    assert.equal(reads.oldestPsn, 10 * round);
    assert.equal(reads.endOf(10 * round + 2), 10 * round + 3);
    reads.finishBefore(10 * round + 3);
    assert.equal(reads.count, 0);
    if (round === 5) reads.resize(3);
  }
});

test('a READ is asked for in quarters of a small window, and in whole bursts of a large one', () => {
  const reads = new ReadRequests(16);
  const part = (window: number, isRoomy: boolean) => reads.packetsOfNext(1000, 0, window, isRoomy);
  assert.deepEqual(
    [3, 16, 53].map((window) => part(window, false)),
    [2, 4, 14],
  );
  // What leaves as two, three and four segmented sends of 15, with the last packet of the answer before in the first of them.
  assert.deepEqual(
    [54, 98, 1024].map((window) => part(window, false)),
    [18, 18, 64],
  );
  assert.deepEqual(
    [54, 65, 66, 71, 72, 528].map((window) => part(window, true)),
    [18, 18, 33, 33, 48, 48],
  );
});
