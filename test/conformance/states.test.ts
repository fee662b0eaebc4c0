/** Queue pair states: the transition table, what each state lets a program post, flushing, query. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Qpn, toPsn } from '../../src/verbs/brands.js';
import type { Device } from '../../src/verbs/device.js';
import type { QpAttributes } from '../../src/verbs/qp-attributes.js';
import { QpState, QpType, qpStateName, qpTypeName } from '../../src/verbs/qp-state.js';
import type { QueuePair } from '../../src/verbs/queue-pair.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { End, ownGid, QKEY, remoteAccess, withDevice, withPair } from './harness.js';

const { RESET, INIT, RTR, RTS, SQD, ERR } = QpState;

const PSN = toPsn(0xfffff0);

/** A queue pair alone: these tests take it from state to state themselves. */
async function openReset(device: Device, type: QpType) {
  const pd = await device.allocPd();
  const cq = await device.createCq({ capacity: 256 });
  const qp = await pd.createQp({ type, sendCq: cq, recvCq: cq });
  const close = async (): Promise<void> => {
    await qp.close();
    await cq.close();
    await pd.close();
  };
  return { device, qp, close };
}

/** The attributes of every step from RESET to RTS, tied to itself. */
async function stepsOf({ device, qp }: Awaited<ReturnType<typeof openReset>>) {
  const { activeMtu, udpPort } = await device.queryPort();
  const { gid, index } = await ownGid(device);
  const { maxQpRdAtom, maxQpInitRdAtom } = device.attributes;
  const depth = Math.min(16, maxQpRdAtom, maxQpInitRdAtom);
  const isReliable = qp.type === QpType.RC;
  const init: QpAttributes = { state: INIT, pkeyIndex: 0, port: 1, accessFlags: remoteAccess(device) };
  const rtr: QpAttributes = {
    state: RTR,
    av: { dgid: gid, sgidIndex: index, udpPort },
    pathMtu: activeMtu,
    destQpn: qp.qpn,
    rqPsn: PSN,
    ...(isReliable ? { maxDestRdAtomic: depth, minRnrTimer: 12 } : {}),
  };
  const rts: QpAttributes = {
    state: RTS,
    sqPsn: PSN,
    ...(isReliable ? { timeout: 14, retryCount: 6, rnrRetry: 7, maxRdAtomic: depth } : {}),
  };
  return { init, rtr, rts };
}

async function walk(qp: QueuePair, path: readonly QpAttributes[]): Promise<void> {
  for (const attributes of path) {
    await qp.modify(attributes);
    if (attributes.state !== undefined) assert.equal(qpStateName(qp.state), qpStateName(attributes.state));
  }
}

for (const type of [QpType.RC, QpType.UC]) {
  test(`${qpTypeName(type)}: RESET, INIT, RTR, RTS, ERR, RESET and again, each step as asked`, () =>
    withDevice(async (device) => {
      const end = await openReset(device, type);
      const { init, rtr, rts } = await stepsOf(end);
      assert.equal(end.qp.type, type);
      assert.equal(end.qp.state, RESET);
      for (let round = 0; round < 2; round++) {
        await walk(end.qp, [init, init, rtr, rts, { state: ERR }, { state: ERR }, { state: RESET }]);
      }
      await end.close();
    }));

  test(`${qpTypeName(type)}: a missing attribute is named, and so is one too many`, () =>
    withDevice(async (device) => {
      const end = await openReset(device, type);
      const { init, rtr, rts } = await stepsOf(end);
      for (const step of [init, rtr, rts]) {
        for (const name of Object.keys(step) as (keyof QpAttributes)[]) {
          if (name === 'state') continue;
          const { [name]: _, ...rest } = step;
          await assert.rejects(end.qp.modify(rest), {
            code: 'ERR_RDMA_INVALID_ARGUMENT',
            message: new RegExp(name),
          });
        }
        await assert.rejects(end.qp.modify({ ...step, qkey: QKEY }), {
          code: 'ERR_RDMA_INVALID_ARGUMENT',
          message: /qkey/,
        });
        await end.qp.modify(step);
      }
      await end.close();
    }));
}

test('steps that do not exist are refused, and change nothing', () =>
  withDevice(async (device) => {
    const end = await openReset(device, QpType.RC);
    const { init, rtr, rts } = await stepsOf(end);
    const illegal = { code: 'ERR_RDMA_INVALID_STATE' };
    await assert.rejects(end.qp.modify(rtr), illegal);
    await assert.rejects(end.qp.modify(rts), illegal);
    await assert.rejects(end.qp.modify({ state: ERR }), illegal);
    await end.qp.modify(init);
    await assert.rejects(end.qp.modify(rts), illegal);
    await assert.rejects(end.qp.modify({ state: SQD }), illegal);
    await assert.rejects(end.qp.modify({ ...rtr, curState: RTS }), { message: /curState/ });
    assert.equal((await end.qp.query()).state, INIT);
    assert.equal(end.qp.state, INIT);
    await end.close();
  }));

test('UD goes to RTS without a peer, and needs its Q_Key', () =>
  withDevice(async (device) => {
    const end = await openReset(device, QpType.UD);
    await assert.rejects(end.qp.modify({ state: INIT, pkeyIndex: 0, port: 1 }), { message: /qkey/ });
    await walk(end.qp, [
      { state: INIT, pkeyIndex: 0, port: 1, qkey: QKEY },
      { state: RTR },
      { state: RTS, sqPsn: PSN },
      { state: ERR },
      { state: RESET },
    ]);
    await end.close();
  }));

test('query returns what modify set', () =>
  withDevice((device) =>
    withPair(
      device,
      { path: { minRnrTimer: 14, timeout: 15, retryCount: 5, rnrRetry: 6 } },
      async ({ a, b, mtu }) => {
        const snapshot = await a.qp.query();
        assert.equal(snapshot.state, RTS);
        assert.equal(snapshot.destQpn, b.qp.qpn);
        assert.equal(snapshot.pathMtu, mtu);
        assert.equal(snapshot.sqPsn, a.endpoint.address.psn);
        assert.equal(snapshot.rqPsn, b.endpoint.address.psn);
        assert.equal(snapshot.minRnrTimer, 14);
        assert.equal(snapshot.timeout, 15);
        assert.equal(snapshot.retryCount, 5);
        assert.equal(snapshot.rnrRetry, 6);
        assert.equal(snapshot.av?.dgid, (await ownGid(device)).gid);
        assert.ok(snapshot.capacity.maxSendWr >= 1);
      },
    ),
  ));

test('the granted capacity is at least what was asked', () =>
  withDevice(async (device) => {
    const { maxSge, maxInlineData } = device.attributes;
    const capacity = {
      maxSendWr: 5,
      maxRecvWr: 6,
      maxSendSge: Math.min(3, maxSge),
      maxRecvSge: Math.min(2, maxSge),
      maxInlineData: Math.min(32, maxInlineData),
    };
    const end = await End.open(device, { qp: { capacity } });
    for (const [name, value] of Object.entries(capacity)) {
      assert.ok(end.qp.capacity[name as keyof typeof capacity] >= value, name);
    }
    await end.close();
    const { maxQpWr } = device.attributes;
    for (const wrong of [
      { maxSendWr: maxQpWr + 1 },
      { maxSendSge: maxSge + 1 },
      { maxRecvWr: -1 },
      { maxSendWr: 1.5 },
    ]) {
      const opened = await device.allocPd();
      const cq = await device.createCq({ capacity: 4 });
      const created = opened.createQp({ sendCq: cq, recvCq: cq, capacity: wrong });
      await assert.rejects(created, {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
        message: new RegExp(Object.keys(wrong)[0] ?? ''),
      });
      await cq.close();
      await opened.close();
    }
  }));

test('receives may be posted from INIT on, sends from RTS on', () =>
  withDevice(async (device) => {
    const end = await openReset(device, QpType.RC);
    const { init, rtr, rts } = await stepsOf(end);
    const send = { wrId: 2, opcode: WrOpcode.SEND, inlineData: new Uint8Array(1) } as const;
    const early = { code: 'ERR_RDMA_INVALID_STATE' };
    assert.throws(() => end.qp.postRecv({ wrId: 1 }), early);
    assert.throws(() => end.qp.postSend(send), early);
    await end.qp.modify(init);
    end.qp.postRecv({ wrId: 1 });
    assert.throws(() => end.qp.postSend(send), early);
    await end.qp.modify(rtr);
    end.qp.postRecv({ wrId: 1 });
    assert.throws(() => end.qp.postSend(send), early);
    await end.qp.modify(rts);
    await end.close();
  }));

test('ERR flushes what is posted, in order, and what is posted afterwards', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a }) => {
      const mr = await a.register(new Uint8Array(64));
      for (const wrId of [1, 2, 3]) a.qp.postRecv({ wrId, sges: [{ mr, length: 8 }] });
      await a.qp.modify({ state: ERR });
      assert.deepEqual(await a.statuses(3), ['1:WR_FLUSH_ERR', '2:WR_FLUSH_ERR', '3:WR_FLUSH_ERR']);
      a.qp.postRecv({ wrId: 4, sges: [{ mr, length: 8 }] });
      assert.deepEqual(await a.statuses(1), ['4:WR_FLUSH_ERR']);
      a.qp.postSend({ wrId: 5, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr, length: 8 }] });
      assert.deepEqual(await a.statuses(1), ['5:WR_FLUSH_ERR']);
      assert.equal((await a.qp.query()).state, ERR);
    }),
  ));

test('RESET forgets what is posted, without completions', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a }) => {
      const mr = await a.register(new Uint8Array(8));
      for (const wrId of [1, 2, 3]) a.qp.postRecv({ wrId, sges: [{ mr }] });
      await a.qp.modify({ state: RESET });
      assert.equal(a.qp.state, RESET);
      await a.qp.modify({ state: INIT, pkeyIndex: 0, port: 1, accessFlags: 0 });
      a.qp.postRecv({ wrId: 4, sges: [{ mr }] });
      await a.qp.modify({ state: ERR });
      assert.deepEqual(await a.statuses(1), ['4:WR_FLUSH_ERR']);
    }),
  ));

test('SQD holds what is posted, and after RTS it goes out before what comes later', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const mr = await b.register(new Uint8Array(8));
      for (const wrId of [1, 2]) b.qp.postRecv({ wrId, sges: [{ mr }] });
      await a.qp.modify({ state: SQD });
      assert.equal(a.qp.state, SQD);
      const send = { opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED } as const;
      a.qp.postSend({ wrId: 3, ...send, inlineData: new Uint8Array(8) });
      await a.qp.modify({ state: RTS });
      // A device may need this one to look at its queue again.
      a.qp.postSend({ wrId: 4, ...send, inlineData: new Uint8Array(3) });
      assert.deepEqual(await a.statuses(2), ['3:SUCCESS', '4:SUCCESS']);
      const received = await b.completions(2);
      assert.deepEqual(
        received.map(({ wrId, byteLen }) => [wrId, byteLen]),
        [
          [1, 8],
          [2, 3],
        ],
      );
    }),
  ));

for (const type of [QpType.RC, QpType.UC]) {
  test(`${qpTypeName(type)}: a peer that no queue pair can be is refused with the reason, and nothing changes`, () =>
    withDevice(async (device) => {
      const end = await openReset(device, type);
      const { init, rtr } = await stepsOf(end);
      await end.qp.modify(init);
      const groups = [
        '224.0.0.1',
        '239.255.255.255',
        '::ffff:224.0.0.1',
        '::ffff:e801:203',
        'ff02::1',
        'FF0E::101',
      ];
      const nobody = ['0.0.0.0', '::ffff:0.0.0.0', '::', '0:0::0'];
      for (const [dgids, message] of [
        [groups, /multicast/],
        [['255.255.255.255', '::ffff:255.255.255.255'], /broadcast/],
        [nobody, /unspecified/],
      ] as const) {
        for (const dgid of dgids) {
          const av = { ...rtr.av, dgid };
          await assert.rejects(end.qp.modify({ ...rtr, av }), { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
        }
      }
      for (const destQpn of [0, 1, 0xffffff] as Qpn[]) {
        await assert.rejects(end.qp.modify({ ...rtr, destQpn }), {
          code: 'ERR_RDMA_INVALID_ARGUMENT',
          message: /reserved/,
        });
      }
      assert.equal(end.qp.state, INIT);
      await end.qp.modify(rtr);
      assert.equal(end.qp.state, RTR);
      await end.close();
    }));
}
