/** RC: every operation, every interesting size, scatter and gather, inline, batches, order and the limits of queues. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QpType } from '../../src/verbs/qp-state.js';
import { WcFlags, WcOpcode } from '../../src/verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, type Pair, pattern, skipUnless, withDevice, withPair } from './harness.js';

const { SIGNALED, FENCE } = SendFlags;
/** What no operation may touch: bytes behind the target. */
const MARGIN = 64;

const sizes = (mtu: number): number[] => [0, 1, 3, mtu - 1, mtu, mtu + 1, 65_536, 1_048_583];

interface Transfer {
  readonly pair: Pair;
  readonly length: number;
}

/** One operation between fresh buffers that hold different patterns. */
async function eachSize(run: (transfer: Transfer) => Promise<void>): Promise<void> {
  await withDevice((device) =>
    withPair(device, {}, async (pair) => {
      for (const length of sizes(pair.mtu)) await run({ pair, length });
    }),
  );
}

async function buffers({ pair, length }: Transfer) {
  const source = await pair.a.pd.regMr(pattern(length + MARGIN, length), 1);
  const target = await pair.b.pd.regMr(pattern(length + MARGIN, length + 7), 7);
  const untouched = target.bytes.slice(length);
  return {
    source,
    target,
    check(what: string, from = source, to = target): void {
      assertSameBytes(
        to.bytes.subarray(0, length),
        from.bytes.subarray(0, length),
        `${what} of ${length} bytes`,
      );
      assertSameBytes(
        target.bytes.subarray(length),
        untouched,
        `what lies behind a ${what} of ${length} bytes`,
      );
    },
    async close(): Promise<void> {
      await source.close();
      await target.close();
    },
  };
}

test('SEND arrives whole in the receive, and both ends are told', () =>
  eachSize(async (transfer) => {
    const { pair, length } = transfer;
    const { source, target, check, close } = await buffers(transfer);
    pair.b.qp.postRecv({ wrId: 10, sges: [{ mr: target }] });
    pair.a.qp.postSend({ wrId: 20, opcode: WrOpcode.SEND, flags: SIGNALED, sges: [{ mr: source, length }] });
    const received = await pair.b.succeed();
    assert.deepEqual(
      [received.wrId, received.opcode, received.byteLen, received.qpn, received.flags & WcFlags.WITH_IMM],
      [10, WcOpcode.RECV, length, pair.b.qp.qpn, 0],
    );
    const sent = await pair.a.succeed();
    assert.deepEqual([sent.wrId, sent.opcode, sent.qpn], [20, WcOpcode.SEND, pair.a.qp.qpn]);
    check('SEND');
    await close();
  }));

test('SEND and WRITE with immediate bring the same number, and WRITE says how much was written', () =>
  eachSize(async (transfer) => {
    const { pair, length } = transfer;
    const { source, target, check, close } = await buffers(transfer);
    const imm = (0xdeadbeef ^ length) >>> 0;
    const sges = [{ mr: source, length }];
    pair.b.qp.postRecv({ wrId: 1, sges: [{ mr: target }] });
    pair.a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND_WITH_IMM, flags: SIGNALED, sges, imm });
    const sent = await pair.b.succeed();
    assert.deepEqual([sent.opcode, sent.imm, sent.byteLen], [WcOpcode.RECV, imm, length]);
    assert.ok((sent.flags & WcFlags.WITH_IMM) !== 0);
    await pair.a.succeed();
    check('SEND with immediate');
    target.bytes.fill(0, 0, length);
    pair.b.qp.postRecv({ wrId: 3 });
    const remote = { remoteAddr: target.addr, rkey: target.rkey, imm: 7 };
    pair.a.qp.postSend({ wrId: 4, opcode: WrOpcode.RDMA_WRITE_WITH_IMM, flags: SIGNALED, sges, ...remote });
    const written = await pair.b.succeed();
    assert.deepEqual(
      [written.wrId, written.opcode, written.imm, written.byteLen],
      [3, WcOpcode.RECV_RDMA_WITH_IMM, 7, length],
    );
    assert.equal((await pair.a.succeed()).opcode, WcOpcode.RDMA_WRITE);
    check('WRITE with immediate');
    await close();
  }));

test('WRITE and READ move bytes past the peer’s program', () =>
  eachSize(async (transfer) => {
    const { pair, length } = transfer;
    const { source, target, check, close } = await buffers(transfer);
    const back = await pair.a.pd.regMr(new Uint8Array(length + 1), 1);
    const remote = { flags: SIGNALED, remoteAddr: target.addr, rkey: target.rkey };
    pair.a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, sges: [{ mr: source, length }], ...remote });
    assert.equal((await pair.a.succeed()).opcode, WcOpcode.RDMA_WRITE);
    check('WRITE');
    pair.a.qp.postSend({ wrId: 2, opcode: WrOpcode.RDMA_READ, sges: [{ mr: back, length }], ...remote });
    assert.equal((await pair.a.succeed()).opcode, WcOpcode.RDMA_READ);
    assertSameBytes(
      back.bytes.subarray(0, length),
      source.bytes.subarray(0, length),
      `READ of ${length} bytes`,
    );
    assert.equal(back.bytes[length], 0, 'what lies behind the READ');
    assert.equal(pair.b.cq.poll([]), 0);
    await back.close();
    await close();
  }));

test('a remote address may be a number or a bigint, and lie anywhere in the region', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const source = await a.register(pattern(32, 1));
      const target = await b.register(new Uint8Array(128));
      const write = {
        opcode: WrOpcode.RDMA_WRITE,
        flags: SIGNALED,
        rkey: target.rkey,
        sges: [{ mr: source }],
      };
      a.qp.postSend({ ...write, wrId: 1, remoteAddr: target.addr + 13n });
      a.qp.postSend({ ...write, wrId: 2, remoteAddr: Number(target.addr) + 96 });
      await a.completions(2);
      assertSameBytes(target.bytes.subarray(13, 45), source.bytes, 'by bigint');
      assertSameBytes(target.bytes.subarray(96), source.bytes, 'by number');
      assert.equal(target.bytes[12], 0);
    }),
  ));

test('atomics add and swap 64 bits, once each, and return what was there', (t) =>
  withDevice(async (device) => {
    if (skipUnless(device.attributes.atomics, t, 'atomics')) return;
    await withPair(device, {}, async ({ a, b }) => {
      const cell = new BigUint64Array(2);
      const target = await b.register(new Uint8Array(cell.buffer));
      const result = await a.register(new ArrayBuffer(8));
      const old = new BigUint64Array(result.bytes.buffer, result.bytes.byteOffset, 1);
      const at = { flags: SIGNALED, remoteAddr: target.addr + 8n, rkey: target.rkey, sges: [{ mr: result }] };
      const play = async (request: Partial<SendWorkRequest> & Pick<SendWorkRequest, 'opcode'>) => {
        a.qp.postSend({ wrId: 1, ...at, ...request });
        const wc = await a.succeed();
        assert.equal(wc.byteLen, 8);
        return wc.opcode;
      };
      cell[1] = 2n ** 63n + 5n;
      const add = { opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, compareAdd: 2n ** 63n + 10n };
      assert.equal(await play(add), WcOpcode.FETCH_ADD);
      assert.deepEqual([old[0], cell[1]], [2n ** 63n + 5n, 15n], 'addition wraps at 64 bits');
      const swap = { opcode: WrOpcode.ATOMIC_CMP_AND_SWP, compareAdd: 14n, swap: 99n };
      assert.equal(await play(swap), WcOpcode.COMP_SWAP);
      assert.deepEqual([old[0], cell[1]], [15n, 15n], 'another value was expected: no swap');
      await play({ ...swap, compareAdd: 15n, swap: 2n ** 64n - 1n });
      assert.deepEqual([old[0], cell[1], cell[0]], [15n, 2n ** 64n - 1n, 0n]);
      const rounds = 40;
      for (let i = 0; i < rounds; i++) a.qp.postSend({ wrId: i, ...at, ...add, compareAdd: 3n });
      for (const wc of await a.completions(rounds)) assert.equal(wc.status, 0);
      assert.equal(cell[1], BigInt(rounds * 3 - 1), 'each addition counted once');
    });
  }));

test('a request gathers pieces of several regions, and a receive scatters them', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const pieces = Math.min(
        4,
        device.attributes.maxSge,
        a.qp.capacity.maxSendSge,
        b.qp.capacity.maxRecvSge,
      );
      const sources = await Promise.all(
        Array.from({ length: pieces }, (_, i) => a.register(pattern(3000, i))),
      );
      const targets = await Promise.all(
        Array.from({ length: pieces }, () => b.register(new Uint8Array(3000))),
      );
      const lengths = [1, 1500, 0, 1024].slice(0, pieces);
      const sges = sources.map((mr, i) => ({ mr, offset: i, length: Math.min(lengths[i] ?? 0, 3000 - i) }));
      const sent = Buffer.concat(
        sges.map(({ mr, offset, length }) => mr.bytes.subarray(offset, offset + length)),
      );
      const taken = [10, 100, 700, 2999].slice(4 - pieces);
      b.qp.postRecv({ wrId: 1, sges: targets.map((mr, i) => ({ mr, offset: 1, length: taken[i] ?? 0 })) });
      a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SIGNALED, sges });
      assert.equal((await b.succeed()).byteLen, sent.length);
      await a.succeed();
      const got = Buffer.concat(targets.map((mr, i) => mr.bytes.subarray(1, 1 + (taken[i] ?? 0))));
      assertSameBytes(got.subarray(0, sent.length), sent, 'scattered bytes');
    }),
  ));

test('inline data is copied during the call, up to the granted limit and not beyond', (t) =>
  withDevice(async (device) => {
    if (skipUnless(device.attributes.maxInlineData > 0, t, 'inline data')) return;
    await withPair(device, {}, async ({ a, b }) => {
      const { maxInlineData } = a.qp.capacity;
      assert.ok(maxInlineData > 0);
      const target = await b.register(new Uint8Array(maxInlineData + 1));
      const data = pattern(maxInlineData, 3);
      const wanted = data.slice();
      b.qp.postRecv({ wrId: 1, sges: [{ mr: target }] });
      a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SIGNALED, inlineData: data });
      data.fill(0);
      assert.equal((await b.succeed()).byteLen, maxInlineData);
      await a.succeed();
      assertSameBytes(target.bytes.subarray(0, maxInlineData), wanted, 'inline data');
      const write = {
        opcode: WrOpcode.RDMA_WRITE,
        flags: SIGNALED,
        remoteAddr: target.addr,
        rkey: target.rkey,
      };
      a.qp.postSend({ wrId: 3, ...write, inlineData: new Uint8Array([9, 8, 7]) });
      await a.succeed();
      assert.deepEqual([...target.bytes.subarray(0, 3)], [9, 8, 7]);
      const invalid = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
      const long = new Uint8Array(maxInlineData + 1);
      assert.throws(() => a.qp.postSend({ wrId: 4, opcode: WrOpcode.SEND, inlineData: long }), invalid);
      const read = { ...write, wrId: 5, opcode: WrOpcode.RDMA_READ, inlineData: wanted };
      assert.throws(() => a.qp.postSend(read), invalid);
    });
  }));

test('requests of one queue complete in order, whatever they are', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const local = await a.register(new Uint8Array(10_000));
      const remote = await b.register(new Uint8Array(10_000));
      const to = { remoteAddr: remote.addr, rkey: remote.rkey };
      const count = 48;
      for (let i = 0; i < count; i += 3) b.qp.postRecv({ wrId: i });
      const requests: SendWorkRequest[] = [];
      for (let wrId = 0; wrId < count; wrId++) {
        const flags = SIGNALED | (wrId % 5 === 0 ? FENCE : 0);
        const sges = [{ mr: local, length: (wrId * 997) % 10_000 }];
        if (wrId % 3 === 0) requests.push({ wrId, opcode: WrOpcode.SEND, flags });
        else if (wrId % 3 === 1) requests.push({ wrId, opcode: WrOpcode.RDMA_READ, flags, sges, ...to });
        else requests.push({ wrId, opcode: WrOpcode.RDMA_WRITE, flags, sges, ...to });
      }
      a.qp.postSendBatch(requests);
      const statuses = await a.statuses(count);
      assert.deepEqual(
        statuses,
        requests.map(({ wrId }) => `${wrId}:SUCCESS`),
      );
      assert.equal((await b.completions(count / 3)).length, count / 3);
    }),
  ));

test('a FENCE makes a WRITE wait for the READ before it', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const length = 100_000;
      const remote = await b.register(pattern(length, 1));
      const before = remote.bytes.slice();
      const local = await a.register(new Uint8Array(length));
      const to = { remoteAddr: remote.addr, rkey: remote.rkey, sges: [{ mr: local }] };
      a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_READ, ...to });
      a.qp.postSend({ wrId: 2, opcode: WrOpcode.RDMA_WRITE, flags: SIGNALED | FENCE, ...to });
      assert.deepEqual(await a.statuses(1), ['2:SUCCESS']);
      assertSameBytes(remote.bytes, before, 'the bytes that went there and back');
    }),
  ));

test('unsignaled requests complete in silence; signalAll makes every one speak', () =>
  withDevice(async (device) => {
    const run = (signalAll: boolean): Promise<void> =>
      withPair(device, { qp: { signalAll } }, async ({ a, b }) => {
        const target = await b.register(new Uint8Array(8));
        const write = {
          opcode: WrOpcode.RDMA_WRITE,
          remoteAddr: target.addr,
          rkey: target.rkey,
          sges: [{ mr: await a.register(new Uint8Array(8)) }],
        };
        for (const wrId of [1, 2, 3]) a.qp.postSend({ wrId, ...write });
        a.qp.postSend({ wrId: 4, ...write, flags: SIGNALED });
        const expected = signalAll ? [1, 2, 3, 4] : [4];
        assert.deepEqual(
          await a.statuses(expected.length),
          expected.map((wrId) => `${wrId}:SUCCESS`),
        );
      });
    await run(false);
    await run(true);
  }));

test('a full queue refuses the request, keeps the earlier ones, and has room again after a poll', () =>
  withDevice((device) =>
    withPair(device, { qp: { capacity: { maxSendWr: 8, maxRecvWr: 8 } } }, async ({ a, b }) => {
      const target = await b.register(new Uint8Array(8));
      const full = { code: 'ERR_RDMA_QUEUE_FULL' };
      let receives = 0;
      assert.throws(() => {
        for (; receives < 10_000; receives++) b.qp.postRecv({ wrId: receives, sges: [{ mr: target }] });
      }, full);
      assert.ok(receives >= 8);
      const data = await a.register(new Uint8Array(8));
      const send = { opcode: WrOpcode.SEND, flags: SIGNALED, sges: [{ mr: data }] } as const;
      // In one turn of the event loop, and nothing is polled: the queue cannot drain.
      let sends = 0;
      assert.throws(() => {
        for (; sends < 10_000; sends++) a.qp.postSend({ wrId: sends, ...send });
      }, full);
      assert.ok(sends >= 8);
      const count = Math.min(sends, receives);
      for (const wc of await a.completions(count)) assert.equal(wc.status, 0);
      for (const wc of await b.completions(count)) assert.equal(wc.status, 0);
      if (sends <= receives) {
        b.qp.postRecv({ wrId: 1, sges: [{ mr: target }] });
        a.qp.postSend({ wrId: 77, ...send });
        assert.deepEqual(await a.statuses(1), ['77:SUCCESS']);
      }
    }),
  ));

test('a batch that fails half-way has posted what came before', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const target = await b.register(new Uint8Array(8));
      const source = await a.register(new Uint8Array(8));
      const write = {
        opcode: WrOpcode.RDMA_WRITE,
        flags: SIGNALED,
        sges: [{ mr: source }],
        rkey: target.rkey,
      };
      const good = { ...write, remoteAddr: target.addr };
      const batch = [
        { wrId: 1, ...good },
        { wrId: 2, ...good },
        { wrId: 3, ...write },
        { wrId: 4, ...good },
      ];
      assert.throws(() => a.qp.postSendBatch(batch), {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
        message: /remoteAddr/,
      });
      a.qp.postSend({ wrId: 5, ...good });
      assert.deepEqual(await a.statuses(3), ['1:SUCCESS', '2:SUCCESS', '5:SUCCESS']);
      assert.throws(() => b.qp.postRecvBatch([{ wrId: 1 }, { wrId: 0.5 }, { wrId: 3 }]), {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
      });
      a.qp.postSend({ wrId: 6, opcode: WrOpcode.SEND, flags: SIGNALED });
      assert.deepEqual(await b.statuses(1), ['1:SUCCESS']);
      await a.succeed();
    }),
  ));

test('what cannot be right is refused at once, naming the field', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const mr = await a.register(new Uint8Array(64));
      const target = await b.register(new Uint8Array(64));
      const to = { remoteAddr: target.addr, rkey: target.rkey };
      const { maxSendSge } = a.qp.capacity;
      const cases: [RegExp, Partial<SendWorkRequest>][] = [
        [/opcode/, { opcode: 77 as never }],
        [/rkey/, { opcode: WrOpcode.RDMA_READ, remoteAddr: 1 }],
        [/compareAdd/, { opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, ...to }],
        [/swap/, { opcode: WrOpcode.ATOMIC_CMP_AND_SWP, ...to, compareAdd: 1n }],
        [/invalidateRkey/, { opcode: WrOpcode.SEND_WITH_INV }],
        [/bind/, { opcode: WrOpcode.BIND_MW }],
        [/length/, { sges: [{ mr, offset: -1 }] }],
        [/length/, { sges: [{ mr, length: 1.5 }] }],
        [/SGE/, { sges: Array.from({ length: maxSendSge + 1 }, () => ({ mr, length: 1 })) }],
        [/remoteAddr/, { opcode: WrOpcode.RDMA_WRITE, rkey: target.rkey, remoteAddr: -1 }],
      ];
      for (const [message, request] of cases) {
        const post = (): void => a.qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, ...request });
        assert.throws(post, { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
      }
      assert.equal(a.qp.type, QpType.RC);
      a.qp.postSend({ wrId: 2, opcode: WrOpcode.RDMA_WRITE, flags: SIGNALED, sges: [{ mr }], ...to });
      assert.deepEqual(await a.statuses(1), ['2:SUCCESS'], 'the queue pair goes on');
    }),
  ));
