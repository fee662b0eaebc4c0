/**
 * "Who sees what": each cause of failure with the completion at the requester, what the responder's program sees, and
 * the states afterwards. Where devices are known to differ, all answers that one of them gives are listed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toQpn, toRKey } from '../../src/verbs/brands.js';
import type { PathOptions } from '../../src/verbs/bring-up.js';
import type { Device } from '../../src/verbs/device.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import type { QpAttributes } from '../../src/verbs/qp-attributes.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { statusName } from '../../src/verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../src/verbs/work-request.js';
import { type Pair, pattern, remoteAccess, skipUnless, withDevice, withPair } from './harness.js';

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE } = AccessFlags;
const BYTES = 64;

interface Row {
  readonly name: string;
  readonly needsAtomics?: boolean;
  /** Status of the request; more than one where devices differ. */
  readonly requester: readonly string[];
  /** Status of the responder's posted receive; `null` when it stays posted. */
  readonly receive: readonly string[] | null;
  readonly access?: number;
  readonly path?: PathOptions;
  /** The request with wrId 1. `target` grants everything; the receive has room for `BYTES`. */
  readonly request: (scene: Scene) => Promise<Partial<SendWorkRequest>> | Partial<SendWorkRequest>;
  readonly noReceive?: boolean;
}

interface Scene extends Pair {
  readonly device: Device;
  readonly source: MemoryRegion;
  readonly target: MemoryRegion;
}

const ACCESS = { requester: ['REM_ACCESS_ERR'], receive: ['WR_FLUSH_ERR'] } as const;
const INVALID = { requester: ['REM_INV_REQ_ERR'], receive: ['WR_FLUSH_ERR'] } as const;
const at = ({ addr, rkey }: MemoryRegion, offset = 0) => ({ remoteAddr: addr + BigInt(offset), rkey });
const write = (rest: Partial<SendWorkRequest>) => ({ opcode: WrOpcode.RDMA_WRITE, ...rest });
const read = (rest: Partial<SendWorkRequest>) => ({ opcode: WrOpcode.RDMA_READ, ...rest });
const add = (rest: Partial<SendWorkRequest>) => ({
  opcode: WrOpcode.ATOMIC_FETCH_AND_ADD,
  compareAdd: 1n,
  ...rest,
});
const eight = (mr: MemoryRegion) => ({ sges: [{ mr, length: 8 }] });

const ROWS: readonly Row[] = [
  {
    name: 'WRITE with an rkey that does not exist',
    ...ACCESS,
    request: ({ target }) => write({ ...at(target), rkey: toRKey((target.rkey ^ 0x5a5a) >>> 0) }),
  },
  {
    name: 'READ with an rkey that does not exist',
    ...ACCESS,
    request: ({ target }) => read({ ...at(target), rkey: toRKey((target.rkey ^ 0x5a5a) >>> 0) }),
  },
  { name: 'WRITE beyond the region', ...ACCESS, request: ({ target }) => write(at(target, 1)) },
  { name: 'READ beyond the region', ...ACCESS, request: ({ target }) => read(at(target, 1)) },
  { name: 'WRITE before the region', ...ACCESS, request: ({ target }) => write(at(target, -1)) },
  {
    name: 'WRITE to a region of another protection domain',
    ...ACCESS,
    request: async ({ b, device }) => {
      const other = b.keep(await device.allocPd());
      const mr = b.keep(await other.regMr(new Uint8Array(BYTES), remoteAccess(device)));
      return write(at(mr));
    },
  },
  {
    name: 'WRITE to a region that lacks REMOTE_WRITE',
    ...ACCESS,
    request: async ({ b }) => write(at(await b.register(new Uint8Array(BYTES), LOCAL_WRITE | REMOTE_READ))),
  },
  {
    name: 'READ of a region that lacks REMOTE_READ',
    ...ACCESS,
    request: async ({ b }) => read(at(await b.register(new Uint8Array(BYTES), LOCAL_WRITE | REMOTE_WRITE))),
  },
  {
    name: 'atomic on a region that lacks REMOTE_ATOMIC',
    needsAtomics: true,
    ...ACCESS,
    request: async ({ b, source }) => {
      const mr = await b.register(new Uint8Array(BYTES), LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE);
      return add({ ...at(mr), ...eight(source) });
    },
  },
  {
    name: 'WRITE on a queue pair that lacks REMOTE_WRITE',
    ...INVALID,
    access: REMOTE_READ,
    request: ({ target }) => write(at(target)),
  },
  {
    name: 'READ on a queue pair that lacks REMOTE_READ',
    ...INVALID,
    access: REMOTE_WRITE,
    request: ({ target }) => read(at(target)),
  },
  {
    name: 'atomic on a queue pair that lacks REMOTE_ATOMIC',
    needsAtomics: true,
    ...INVALID,
    access: REMOTE_READ | REMOTE_WRITE,
    request: ({ source, target }) => add({ ...at(target), ...eight(source) }),
  },
  {
    name: 'SEND longer than the receive',
    // rdma_rxe finds out when the copy fails, and says so: REM_OP_ERR and LOC_QP_OP_ERR.
    requester: ['REM_INV_REQ_ERR', 'REM_OP_ERR'],
    receive: ['LOC_LEN_ERR', 'REM_INV_REQ_ERR', 'LOC_QP_OP_ERR'],
    request: async ({ a }) => ({
      opcode: WrOpcode.SEND,
      sges: [{ mr: await a.register(new Uint8Array(BYTES + 1)) }],
    }),
  },
  {
    name: 'SEND without a receive, RNR retries spent',
    requester: ['RNR_RETRY_EXC_ERR'],
    receive: null,
    noReceive: true,
    path: { rnrRetry: 1, minRnrTimer: 1 },
    request: () => ({ opcode: WrOpcode.SEND }),
  },
  {
    name: 'SEND from memory that is no longer registered',
    requester: ['LOC_PROT_ERR', 'LOC_QP_OP_ERR'],
    receive: null,
    request: async ({ a }) => {
      const mr = await a.pd.regMr(new Uint8Array(BYTES), 1);
      await mr.close();
      return { opcode: WrOpcode.SEND, sges: [{ mr, length: 8 }] };
    },
  },
  {
    name: 'SEND from beyond the end of a region',
    requester: ['LOC_PROT_ERR', 'LOC_QP_OP_ERR'],
    receive: null,
    request: ({ source }) => ({ opcode: WrOpcode.SEND, sges: [{ mr: source, offset: 8, length: BYTES }] }),
  },
];

for (const row of ROWS) {
  test(`${row.name}: ${row.requester.join(' or ')}`, (t) =>
    withDevice(async (device) => {
      if (row.needsAtomics && skipUnless(device.attributes.atomics, t, 'atomics')) return;
      const { access = remoteAccess(device) & ~LOCAL_WRITE } = row;
      await withPair(device, { access, path: { retryCount: 3, ...row.path } }, async (pair) => {
        const { a, b } = pair;
        const source = await a.register(pattern(BYTES, 1));
        const target = await b.register(new Uint8Array(BYTES));
        if (!row.noReceive) {
          b.qp.postRecv({ wrId: 5, sges: [{ mr: await b.register(new Uint8Array(BYTES)) }] });
        }
        const request = await row.request({ ...pair, device, source, target });
        // The second request is flushed by the failure of the first.
        a.qp.postSendBatch([
          { wrId: 1, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr: source }], ...request },
          { wrId: 2, opcode: WrOpcode.SEND },
        ]);
        const [first, second] = await a.completions(2);
        assert.equal(first?.wrId, 1);
        assert.ok(row.requester.includes(statusName(first?.status ?? 0)), statusName(first?.status ?? 0));
        assert.equal(`${second?.wrId}:${statusName(second?.status ?? 0)}`, '2:WR_FLUSH_ERR');
        assert.equal((await a.qp.query()).state, QpState.ERR);
        assert.equal(a.qp.state, QpState.ERR);
        assert.ok(
          target.bytes.every((byte) => byte === 0),
          'the memory is untouched',
        );
        if (row.receive === null) return;
        const [receive] = await b.completions(1);
        assert.equal(receive?.wrId, 5);
        assert.ok(row.receive.includes(statusName(receive?.status ?? 0)), statusName(receive?.status ?? 0));
        assert.equal((await b.qp.query()).state, QpState.ERR);
      });
    }));
}

test('nobody answers: RETRY_EXC_ERR after the retries, and everything behind it is flushed', () =>
  withDevice((device) =>
    withPair(device, { path: { timeout: 10, retryCount: 2 } }, async ({ a, b }) => {
      await b.qp.modify({ state: QpState.ERR });
      for (const wrId of [1, 2, 3]) a.qp.postSend({ wrId, opcode: WrOpcode.SEND });
      assert.deepEqual(await a.statuses(3), ['1:RETRY_EXC_ERR', '2:WR_FLUSH_ERR', '3:WR_FLUSH_ERR']);
    }),
  ));

test('a queue pair that failed serves again after RESET', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const target = await b.register(new Uint8Array(8));
      const source = await a.register(new Uint8Array(8).fill(3));
      const bad = { ...at(target), rkey: toRKey((target.rkey ^ 1) >>> 0) };
      const request = {
        opcode: WrOpcode.RDMA_WRITE,
        flags: SendFlags.SIGNALED,
        sges: [{ mr: source }],
      } as const;
      a.qp.postSend({ wrId: 1, ...request, ...bad });
      assert.deepEqual(await a.statuses(1), ['1:REM_ACCESS_ERR']);
      for (const [own, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        const before = await own.qp.query();
        assert.equal(before.state, QpState.ERR);
        await own.qp.modify({ state: QpState.RESET });
        const { init, rtr, rts } = again(before, peer.qp.qpn);
        await own.qp.modify(init);
        await own.qp.modify(rtr);
        await own.qp.modify(rts);
      }
      a.qp.postSend({ wrId: 2, ...request, ...at(target) });
      assert.deepEqual(await a.statuses(1), ['2:SUCCESS']);
      assert.deepEqual([...target.bytes], [...source.bytes]);
    }),
  ));

/** Fresh PSNs, for a pair that starts over. */
function again(before: QpAttributes, peer: number) {
  const { av, pathMtu } = before;
  assert.ok(av !== undefined && pathMtu !== undefined);
  const psn = 0x777 as NonNullable<QpAttributes['sqPsn']>;
  return {
    init: { state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: REMOTE_READ | REMOTE_WRITE },
    rtr: {
      state: QpState.RTR,
      av,
      pathMtu,
      destQpn: toQpn(peer),
      rqPsn: psn,
      maxDestRdAtomic: 1,
      minRnrTimer: 12,
    },
    rts: { state: QpState.RTS, sqPsn: psn, timeout: 14, retryCount: 3, rnrRetry: 3, maxRdAtomic: 1 },
  };
}
