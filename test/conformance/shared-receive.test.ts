/** Shared receive queues: one pool of receives for several queue pairs, and the event that says it runs low. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AsyncEvent } from '../../src/verbs/async-event.js';
import type { SharedReceiveQueue } from '../../src/verbs/queue-pair.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, pattern, skipUnless, withDevice, withPair } from './harness.js';

const send = { opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED } as const;

test('queue pairs of one SRQ take its receives in order, each with its own number', (t) =>
  withDevice(async (device) => {
    if (skipUnless(device.attributes.maxSrqs > 0, t, 'shared receive queues')) return;
    const pd = await device.allocPd();
    const srq = await pd.createSrq({ maxWr: 16 });
    assert.ok(srq.maxWr >= 16 && srq.maxSge >= 1);
    const mr = await pd.regMr(new Uint8Array(64), 1);
    await withSharedPair(device, srq, pd, async ({ a, b }) => {
      srq.postRecvBatch([1, 2, 3, 4].map((wrId) => ({ wrId, sges: [{ mr, offset: wrId * 8, length: 8 }] })));
      assert.throws(() => b.qp.postRecv({ wrId: 9 }), {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
        message: /shared/,
      });
      for (const wrId of [1, 2, 3]) a.qp.postSend({ wrId, ...send, inlineData: pattern(8, wrId) });
      const received = await b.completions(3);
      assert.deepEqual(
        received.map(({ wrId, qpn, status }) => [wrId, qpn, status]),
        [1, 2, 3].map((wrId) => [wrId, b.qp.qpn, 0]),
      );
      for (const wrId of [1, 2, 3]) {
        assertSameBytes(mr.bytes.subarray(wrId * 8, wrId * 8 + 8), pattern(8, wrId), `receive ${wrId}`);
      }
      await a.completions(3);
      await assert.rejects(srq.close(), { code: 'ERR_RDMA_IN_USE' });
    });
    await srq.close();
    await srq.close();
    assert.throws(() => srq.postRecv({ wrId: 1 }), { code: 'ERR_RDMA_CLOSED' });
    await mr.close();
    await pd.close();
  }));

test('the limit event comes once, when fewer receives than the limit remain', (t) =>
  withDevice(async (device) => {
    if (skipUnless(device.attributes.maxSrqs > 0, t, 'shared receive queues')) return;
    const pd = await device.allocPd();
    const srq = await pd.createSrq({ maxWr: 8 });
    const events: AsyncEvent[] = [];
    let wake = (): void => {};
    const came = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const remove = device.onAsyncEvent((event) => {
      events.push(event);
      wake();
    });
    await withSharedPair(device, srq, pd, async ({ a, b }) => {
      for (let wrId = 0; wrId < 6; wrId++) srq.postRecv({ wrId });
      await srq.setLimit(5);
      await assert.rejects(srq.setLimit(-1), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
      a.qp.postSend({ wrId: 1, ...send });
      await b.completions(1);
      a.qp.postSend({ wrId: 2, ...send });
      await b.completions(1);
      await came;
      a.qp.postSend({ wrId: 3, ...send });
      await b.completions(1);
      await a.completions(3);
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      const limits = events.filter(({ type }) => type === 'SRQ_LIMIT_REACHED');
      assert.equal(limits.length, 1);
      assert.equal((limits[0] as { srq: SharedReceiveQueue }).srq, srq);
    });
    remove();
    await srq.close();
    await pd.close();
  }));

test('a full SRQ refuses the next receive', (t) =>
  withDevice(async (device) => {
    if (skipUnless(device.attributes.maxSrqs > 0, t, 'shared receive queues')) return;
    const pd = await device.allocPd();
    const srq = await pd.createSrq({ maxWr: 4 });
    assert.throws(
      () => {
        for (let wrId = 0; wrId < 10_000; wrId++) srq.postRecv({ wrId });
      },
      { code: 'ERR_RDMA_QUEUE_FULL' },
    );
    await srq.close();
    await pd.close();
  }));

/** A pair whose second end receives through `srq`, in the SRQ's protection domain. */
async function withSharedPair(
  device: Parameters<typeof withPair>[0],
  srq: SharedReceiveQueue,
  pd: NonNullable<Parameters<typeof withPair>[1]['pd']>,
  run: Parameters<typeof withPair>[2],
): Promise<void> {
  await withPair(device, { pd, b: { qp: { srq } } }, run);
}
