/** Completion queues and channels: capacity, polling, arming, solicited events, iteration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompletionQueue } from '../../src/verbs/completion-queue.js';
import { createCompletions } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { withDevice, withPair } from './harness.js';

const { SIGNALED, SOLICITED } = SendFlags;

test('a queue holds at least what was asked for, and polls empty at first', () =>
  withDevice(async (device) => {
    for (const capacity of [1, 7, 1000]) {
      const cq = await device.createCq({ capacity });
      assert.ok(cq.capacity >= capacity);
      assert.equal(cq.channel, null);
      assert.equal(cq.poll(createCompletions(4)), 0);
      await cq.close();
    }
    for (const capacity of [0, -1, 1.5, device.attributes.maxCqe + 1]) {
      await assert.rejects(device.createCq({ capacity }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
    }
  }));

test('a queue without a channel cannot be armed', () =>
  withDevice(async (device) => {
    const cq = await device.createCq({ capacity: 4 });
    assert.throws(() => cq.reqNotify(), { code: 'ERR_RDMA_INVALID_STATE', message: /channel/ });
    await cq.close();
  }));

test('a closed channel of this device is refused', () =>
  withDevice(async (device) => {
    const channel = await device.createCompletionChannel();
    await channel.close();
    await assert.rejects(device.createCq({ capacity: 4, channel }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  }));

test('poll takes at most what it is asked for, oldest first', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const source = await a.register(new Uint8Array(8));
      const target = await b.register(new Uint8Array(8));
      const to = { remoteAddr: target.addr, rkey: target.rkey };
      for (const wrId of [1, 2, 3, 4, 5]) {
        a.qp.postSend({ wrId, opcode: WrOpcode.RDMA_WRITE, flags: SIGNALED, sges: [{ mr: source }], ...to });
      }
      const ids: number[] = [];
      while (ids.length < 5) {
        const found = createCompletions(3);
        const count = a.cq.poll(found, 2);
        assert.ok(count <= 2);
        ids.push(...found.slice(0, count).map(({ wrId }) => wrId));
        if (count === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      assert.deepEqual(ids, [1, 2, 3, 4, 5]);
      assert.equal(a.cq.poll(createCompletions(1)), 0);
      assert.equal(a.cq.poll([]), 0);
    }),
  ));

test('wrId comes back untouched, whatever safe integer it is', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const ids = [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 32, -(2 ** 40)];
      const target = await b.register(new Uint8Array(64));
      for (const [index, wrId] of ids.entries()) {
        b.qp.postRecv({ wrId, sges: [{ mr: target, offset: index, length: 1 }] });
        a.qp.postSend({ wrId, opcode: WrOpcode.SEND, flags: SIGNALED, inlineData: new Uint8Array([index]) });
      }
      assert.deepEqual(
        (await b.completions(ids.length)).map(({ wrId }) => wrId),
        ids,
      );
      assert.deepEqual(
        (await a.completions(ids.length)).map(({ wrId }) => wrId),
        ids,
      );
      for (const wrId of [0.5, Number.NaN, 2 ** 53]) {
        assert.throws(() => b.qp.postRecv({ wrId }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
        assert.throws(() => a.qp.postSend({ wrId, opcode: WrOpcode.SEND }), {
          code: 'ERR_RDMA_INVALID_ARGUMENT',
        });
      }
    }),
  ));

test('an armed queue raises one event, through next, onEvent and iteration', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const target = await b.register(new Uint8Array(16));
      const message = new Uint8Array(1);
      const receiveOne = async (wait: () => Promise<CompletionQueue>): Promise<void> => {
        b.qp.postRecv({ wrId: 1, sges: [{ mr: target }] });
        b.cq.reqNotify();
        assert.equal(b.cq.poll(createCompletions(1)), 0);
        const event = wait();
        a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SIGNALED, inlineData: message });
        assert.equal(await event, b.cq);
        assert.deepEqual(await b.statuses(1), ['1:SUCCESS']);
        await a.succeed();
      };
      await receiveOne(() => b.channel.next());
      // `statuses` armed the queue before it polled: that event may still be on its way.
      await receiveOne(
        () =>
          new Promise((resolve) => {
            b.channel.onEvent = (cq) => {
              b.channel.onEvent = null;
              resolve(cq);
            };
          }),
      );
      const iterator = b.channel[Symbol.asyncIterator]();
      await receiveOne(async () => (await iterator.next()).value as CompletionQueue);
    }),
  ));

test('a queue armed for solicited events sleeps through a plain message and wakes for a solicited one', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const target = await b.register(new Uint8Array(16));
      for (const wrId of [1, 2]) b.qp.postRecv({ wrId, sges: [{ mr: target, length: 4 }] });
      let events = 0;
      const woken = new Promise<void>((resolve) => {
        b.channel.onEvent = () => {
          events++;
          resolve();
        };
      });
      b.cq.reqNotify(true);
      const message = { opcode: WrOpcode.SEND, inlineData: new Uint8Array(4) } as const;
      a.qp.postSend({ wrId: 3, flags: SIGNALED, ...message });
      // The peer has acknowledged it, so its completion is in the queue and did not raise an event.
      await a.succeed();
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(events, 0);
      a.qp.postSend({ wrId: 4, flags: SIGNALED | SOLICITED, ...message });
      await woken;
      assert.equal(events, 1);
      b.channel.onEvent = null;
      assert.deepEqual(await b.statuses(2), ['1:SUCCESS', '2:SUCCESS']);
      await a.succeed();
    }),
  ));

test('closing a channel ends those who wait on it', () =>
  withDevice(async (device) => {
    const channel = await device.createCompletionChannel();
    const waiting = assert.rejects(channel.next(), { code: 'ERR_RDMA_CLOSED' });
    const iteration = (async () => {
      let events = 0;
      for await (const _ of channel) events++;
      return events;
    })();
    await channel.close();
    await waiting;
    assert.equal(await iteration, 0);
  }));

test('one channel serves several queues and says which one it was', () =>
  withDevice(async (device) => {
    const channel = await device.createCompletionChannel();
    const cqs = [
      await device.createCq({ capacity: 4, channel }),
      await device.createCq({ capacity: 4, channel }),
    ] as const;
    const pd = await device.allocPd();
    for (const recvCq of cqs) {
      const qp = await pd.createQp({ sendCq: cqs[0], recvCq });
      await qp.modify({ state: 1, pkeyIndex: 0, port: 1, accessFlags: 0 });
      qp.postRecv({ wrId: 9 });
      recvCq.reqNotify();
      const event = channel.next();
      // The receive is flushed, which is a completion.
      await qp.modify({ state: 6 });
      assert.equal(await event, recvCq);
      assert.equal(recvCq.poll(createCompletions(2)), 1);
      await qp.close();
    }
    for (const cq of cqs) await cq.close();
    await channel.close();
    await pd.close();
  }));
