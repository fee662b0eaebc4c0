/** Wrong calls are refused before they change anything: each of these was taken once, and did harm later. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toPsn, toQpn } from '../../src/verbs/brands.js';
import { toInit, toRtr, toRts } from '../../src/verbs/bring-up.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../../src/verbs/device.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { QpType } from '../../src/verbs/qp-state.js';
import type { QueuePair } from '../../src/verbs/queue-pair.js';
import { createCompletions, statusName } from '../../src/verbs/work-completion.js';
import { type SendWorkRequest, WrOpcode } from '../../src/verbs/work-request.js';

const { LOCAL_WRITE, REMOTE_WRITE, MW_BIND } = AccessFlags;
const WRONG = { code: 'ERR_RDMA_INVALID_ARGUMENT' };

interface Side {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  readonly cq: CompletionQueue;
  readonly mr: MemoryRegion;
}

let own: Side;
let other: Side;
let qp: QueuePair;

async function openSide(): Promise<Side> {
  const device = await openDevice('soft:127.0.0.1?port=0');
  const pd = await device.allocPd();
  const channel = await device.createCompletionChannel();
  const cq = await device.createCq({ capacity: 32, channel });
  const mr = await pd.regMr(new Uint8Array(64), LOCAL_WRITE | REMOTE_WRITE | MW_BIND);
  return { device, pd, channel, cq, mr };
}

/** A queue pair in RTS; nobody is at the other end. */
async function connectNowhere(type: QpType): Promise<QueuePair> {
  const made = await own.pd.createQp({ type, sendCq: own.cq, recvCq: own.cq });
  const psn = toPsn(0);
  const path = { psn, mtu: 1024 as const, rdAtomic: 4 };
  const nobody = { ...path, gid: '::ffff:127.0.0.1', udpPort: 9, qpn: toQpn(5) };
  await toInit(made, 15, { qkey: 1 as never });
  await toRtr(made, path, nobody);
  await toRts(made, path, nobody, { timeout: 0 });
  return made;
}

before(async () => {
  own = await openSide();
  other = await openSide();
  qp = await connectNowhere(QpType.RC);
});

after(async () => {
  await qp.close();
  for (const { mr, cq, channel, pd, device } of [own, other]) {
    for (const object of [mr, cq, channel, pd, device]) await object.close();
  }
});

test('objects of another device are refused wherever one is named', async () => {
  const { pd, device, cq } = own;
  await assert.rejects(device.createCq({ capacity: 1, channel: other.channel }), WRONG);
  await assert.rejects(pd.createQp({ sendCq: other.cq, recvCq: cq }), WRONG);
  await assert.rejects(pd.createQp({ sendCq: cq, recvCq: other.cq }), WRONG);
  const srq = await other.pd.createSrq({ maxWr: 1 });
  await assert.rejects(pd.createQp({ sendCq: cq, recvCq: cq, srq }), WRONG);
  await srq.close();
  assert.throws(() => qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, sges: [{ mr: other.mr }] }), WRONG);
  assert.throws(() => qp.postRecv({ wrId: 1, sges: [{ mr: other.mr }] }), WRONG);

  const windows = [await own.pd.allocMw(), await other.pd.allocMw()] as const;
  const bind = { offset: 0, length: 8, access: REMOTE_WRITE, rkey: windows[0].nextRkey() };
  for (const [mw, mr] of [
    [windows[1], own.mr],
    [windows[0], other.mr],
  ] as const)
    assert.throws(() => qp.postSend({ wrId: 1, opcode: WrOpcode.BIND_MW, bind: { ...bind, mw, mr } }), WRONG);
  for (const mw of windows) await mw.close();

  const ud = await connectNowhere(QpType.UD);
  const ah = await other.pd.createAh({ dgid: '::ffff:127.0.0.1' });
  const datagram = { wrId: 1, opcode: WrOpcode.SEND, remoteQpn: toQpn(1), remoteQkey: 1 as never };
  assert.throws(() => ud.postSend({ ...datagram, ah }), WRONG);
  await ah.close();
  await ud.close();
});

test('numbers that do not fit their field are refused, not cut to size', () => {
  const absurd = [-1, 0.5, Number.NaN, 2 ** 32, Number.POSITIVE_INFINITY];
  const refused = (request: Partial<SendWorkRequest>, field: RegExp): void => {
    const whole = { wrId: 1, ...request } as SendWorkRequest;
    assert.throws(() => qp.postSend(whole), { ...WRONG, message: field }, JSON.stringify(request));
  };
  for (const value of absurd) {
    const key = value as never;
    refused({ opcode: WrOpcode.RDMA_WRITE, remoteAddr: 0, rkey: key }, /rkey/);
    refused({ opcode: WrOpcode.SEND_WITH_IMM, imm: value }, /imm/);
    refused({ opcode: WrOpcode.LOCAL_INV, invalidateRkey: key }, /invalidateRkey/);
    refused({ opcode: WrOpcode.SEND, remoteQpn: key }, /remoteQpn/);
    refused({ opcode: WrOpcode.SEND, remoteQkey: key }, /remoteQkey/);
  }
});

test('a window is bound to whole bytes, with remote rights only', async () => {
  const mw = await own.pd.allocMw();
  const right = { mw, mr: own.mr, offset: 0, length: 8, access: REMOTE_WRITE, rkey: mw.nextRkey() };
  const wrong = [
    { offset: Number.NaN },
    { offset: -1 },
    { length: Number.NaN },
    { length: 0.5 },
    { length: -8 },
    { access: LOCAL_WRITE },
    { access: MW_BIND | REMOTE_WRITE },
    { access: 2 ** 32 },
    { rkey: Number.NaN as never },
  ];
  for (const part of wrong)
    assert.throws(
      () => qp.postSend({ wrId: 1, opcode: WrOpcode.BIND_MW, bind: { ...right, ...part } }),
      WRONG,
    );
  await mw.close();
});

test('an atomic needs 8 bytes for its result, and fails before anything is sent where it has less', async () => {
  const [wc] = createCompletions(1);
  const atomic = { opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, remoteAddr: 0, rkey: 1 as never, compareAdd: 1n };
  for (const sges of [undefined, [], [{ mr: own.mr, length: 7 }], [{ mr: own.mr, length: 0 }]]) {
    const lonely = await connectNowhere(QpType.RC);
    lonely.postSend(sges === undefined ? { wrId: 3, ...atomic } : { wrId: 3, ...atomic, sges });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(own.cq.poll([wc as NonNullable<typeof wc>]), 1);
    assert.equal(`${wc?.wrId} ${statusName(wc?.status ?? -1)}`, '3 LOC_LEN_ERR');
    await lonely.close();
  }
});

test('poll takes whole numbers of completions, from 0 on', () => {
  const into = createCompletions(4);
  for (const max of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => own.cq.poll(into, max), WRONG);
  assert.equal(own.cq.poll(into, 0), 0);
  assert.equal(own.cq.poll(into, 1000), 0);
});

test('rights beyond 32 bits are no rights', async () => {
  for (const access of [2 ** 32, 2 ** 32 + LOCAL_WRITE, 2 ** 40, -1, Number.NaN])
    await assert.rejects(own.pd.regMr(new Uint8Array(8), access), WRONG);
});
