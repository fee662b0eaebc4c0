/** Asynchronous events of queue pairs: each calls the listeners of its queue pair and those of the device, no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AsyncEvent } from '../../src/verbs/async-event.js';
import type { Device } from '../../src/verbs/device.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { type Pair, skipUnless, withDevice, withPair } from './harness.js';

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Makes the responder's queue pair fail: the peer asks for memory that does not exist. */
async function failResponder({ a, b }: Pair): Promise<void> {
  const mr = await a.register(new Uint8Array(8));
  a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, sges: [{ mr }], remoteAddr: 0n, rkey: 0 as never });
  assert.deepEqual(await a.statuses(1), ['1:REM_ACCESS_ERR']);
  await turns(20);
  assert.equal((await b.qp.query()).state, QpState.ERR);
}

const withTwoPairs = (run: (device: Device, first: Pair, second: Pair) => Promise<void>): Promise<void> =>
  withDevice((device) =>
    withPair(device, {}, (first) => withPair(device, {}, (second) => run(device, first, second))),
  );

test('an event of one queue pair calls its listeners and those of the device, and no listener of another', (t) =>
  withTwoPairs(async (device, first, second) => {
    const ofDevice: AsyncEvent[] = [];
    const own: AsyncEvent[] = [];
    const others: AsyncEvent[] = [];
    const stop = device.onAsyncEvent((event) => ofDevice.push(event));
    first.b.qp.onAsyncEvent((event) => own.push(event));
    for (const { qp } of [first.a, second.a, second.b]) qp.onAsyncEvent((event) => others.push(event));
    await failResponder(first);
    stop();
    assert.deepEqual(
      others.filter((event) => 'qp' in event && event.qp === first.b.qp),
      [],
    );
    const told = ofDevice.filter((event) => 'qp' in event && event.qp === first.b.qp);
    assert.deepEqual(own, told);
    if (skipUnless(told.length > 0, t, 'events of a responder that fails')) return;
    assert.equal(own[0]?.type, 'QP_ACCESS_ERR');
  }));

test('a listener of a queue pair that was removed is not called; another of the same function still is', () =>
  withTwoPairs(async (device, first) => {
    const seen: AsyncEvent[] = [];
    let kept = 0;
    let onDevice = 0;
    const stop = device.onAsyncEvent((event) => {
      if ('qp' in event && event.qp === first.b.qp) onDevice++;
    });
    first.b.qp.onAsyncEvent((event) => seen.push(event))();
    const count = (): void => {
      kept++;
    };
    const removeOne = first.b.qp.onAsyncEvent(count);
    first.b.qp.onAsyncEvent(count);
    removeOne();
    await failResponder(first);
    stop();
    assert.deepEqual(seen, []);
    assert.equal(kept, onDevice);
  }));
