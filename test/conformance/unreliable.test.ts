/** UC and UD: what they carry, and what they refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QpType } from '../../src/verbs/qp-state.js';
import { WcFlags, WcOpcode } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, End, GRH_BYTES, ownGid, pattern, QKEY, withDevice, withPair } from './harness.js';

const { SIGNALED } = SendFlags;

test('UC carries SEND and WRITE of any size, and completes them without an answer', () =>
  withDevice((device) =>
    withPair(device, { qp: { type: QpType.UC } }, async ({ a, b, mtu }) => {
      for (const length of [0, 1, mtu, 3 * mtu + 5]) {
        const source = await a.register(pattern(length + 1, length));
        const target = await b.register(new Uint8Array(length + 1));
        const sges = [{ mr: source, length }];
        b.qp.postRecv({ wrId: 1, sges: [{ mr: target, length }] });
        a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND_WITH_IMM, flags: SIGNALED, sges, imm: 5 });
        const received = await b.succeed();
        assert.deepEqual([received.byteLen, received.imm], [length, 5]);
        await a.succeed();
        assertSameBytes(target.bytes.subarray(0, length), source.bytes.subarray(0, length), 'UC SEND');
        target.bytes.fill(0);
        b.qp.postRecv({ wrId: 3 });
        const to = { remoteAddr: target.addr, rkey: target.rkey, imm: 6 };
        a.qp.postSend({ wrId: 4, opcode: WrOpcode.RDMA_WRITE_WITH_IMM, flags: SIGNALED, sges, ...to });
        assert.equal((await b.succeed()).opcode, WcOpcode.RECV_RDMA_WITH_IMM);
        await a.succeed();
        assertSameBytes(target.bytes.subarray(0, length), source.bytes.subarray(0, length), 'UC WRITE');
      }
    }),
  ));

test('UC and UD refuse what only RC can do, and UD refuses WRITE', () =>
  withDevice(async (device) => {
    const invalid = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
    await withPair(device, { qp: { type: QpType.UC } }, async ({ a }) => {
      const read = { wrId: 1, opcode: WrOpcode.RDMA_READ, remoteAddr: 1 };
      assert.throws(() => a.qp.postSend(read), { ...invalid, message: /UC.*RDMA_READ/ });
    });
    const end = await End.open(device, { qp: { type: QpType.UD } });
    await end.endpoint.connect(null);
    const write = { wrId: 1, opcode: WrOpcode.RDMA_WRITE, remoteAddr: 1 };
    assert.throws(() => end.qp.postSend(write), { ...invalid, message: /UD.*RDMA_WRITE/ });
    assert.throws(() => end.qp.postSend({ wrId: 1, opcode: WrOpcode.SEND }), { ...invalid, message: /ah/ });
    await end.close();
  }));

test('UD carries a datagram to whoever the address handle names, behind 40 bytes of GRH', () =>
  withDevice(async (device) => {
    const a = await End.open(device, { qp: { type: QpType.UD } });
    const b = await End.open(device, { qp: { type: QpType.UD } });
    await a.endpoint.connect(null);
    await b.endpoint.connect(null);
    const gid = await ownGid(device);
    const { udpPort, activeMtu } = await device.queryPort();
    const ah = a.keep(await a.pd.createAh({ dgid: gid.gid, sgidIndex: gid.index, udpPort }));
    assert.equal(ah.av.dgid, gid.gid);
    assert.equal(device.census().ahs, 1);
    for (const [wrId, length] of [0, 1, 100, activeMtu].entries()) {
      const source = await a.register(pattern(length + 1, length));
      const target = await b.register(new Uint8Array(GRH_BYTES + activeMtu));
      b.qp.postRecv({ wrId, sges: [{ mr: target }] });
      a.qp.postSend({
        wrId,
        opcode: WrOpcode.SEND_WITH_IMM,
        flags: SIGNALED,
        sges: [{ mr: source, length }],
        imm: 0xabcd0123,
        ah,
        remoteQpn: b.qp.qpn,
        remoteQkey: QKEY,
      });
      await a.succeed();
      const wc = await b.succeed();
      assert.deepEqual(
        [wc.wrId, wc.byteLen, wc.srcQpn, wc.imm, wc.flags & WcFlags.GRH],
        [wrId, GRH_BYTES + length, a.qp.qpn, 0xabcd0123, WcFlags.GRH],
      );
      const data = target.bytes.subarray(GRH_BYTES, GRH_BYTES + length);
      assertSameBytes(data, source.bytes.subarray(0, length), 'UD SEND');
    }
    await a.close();
    await b.close();
  }));

test('UD drops what has the wrong Q_Key, and delivers what comes next', () =>
  withDevice(async (device) => {
    const a = await End.open(device, { qp: { type: QpType.UD } });
    const b = await End.open(device, { qp: { type: QpType.UD } });
    await a.endpoint.connect(null);
    await b.endpoint.connect(null);
    const gid = await ownGid(device);
    const { udpPort } = await device.queryPort();
    const ah = a.keep(await a.pd.createAh({ dgid: gid.gid, sgidIndex: gid.index, udpPort }));
    const target = await b.register(new Uint8Array(GRH_BYTES + 8));
    b.qp.postRecv({ wrId: 1, sges: [{ mr: target }] });
    const source = await a.register(new Uint8Array(8));
    const send = {
      opcode: WrOpcode.SEND_WITH_IMM,
      flags: SIGNALED,
      ah,
      remoteQpn: b.qp.qpn,
      sges: [{ mr: source }],
    };
    a.qp.postSend({ wrId: 1, ...send, imm: 1, remoteQkey: (QKEY ^ 1) as typeof QKEY });
    a.qp.postSend({ wrId: 2, ...send, imm: 2, remoteQkey: QKEY });
    assert.equal((await b.succeed()).imm, 2);
    await a.completions(2);
    await a.close();
    await b.close();
  }));

test('an address handle to nowhere is refused with the address in the message', () =>
  withDevice(async (device) => {
    const pd = await device.allocPd();
    await assert.rejects(pd.createAh({ dgid: 'not an address' }), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
      message: /not an address/,
    });
    for (const dgid of ['::', '0.0.0.0', '::ffff:0.0.0.0', '255.255.255.255']) {
      await assert.rejects(pd.createAh({ dgid }), {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
        message: /no datagram can go/,
      });
    }
    await pd.close();
  }));
