/** Memory regions: over every kind of buffer, with the rights that were asked for, alive as long as needed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, pattern, remoteAccess, withDevice, withPair } from './harness.js';

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;

test('regions lie over typed arrays, parts of them, buffers and shared buffers, and share their bytes', () =>
  withDevice(async (device) => {
    const pd = await device.allocPd();
    const backing = new ArrayBuffer(256);
    const cases: [string, Uint8Array | ArrayBuffer | SharedArrayBuffer, number][] = [
      ['Uint8Array', new Uint8Array(100), 100],
      ['part of an ArrayBuffer', new Uint8Array(backing, 3, 17), 17],
      ['Buffer', Buffer.from('a buffer from the pool'), 22],
      ['ArrayBuffer', new ArrayBuffer(4097), 4097],
      ['SharedArrayBuffer', new SharedArrayBuffer(33), 33],
      ['part of a SharedArrayBuffer', new Uint8Array(new SharedArrayBuffer(64), 8, 9), 9],
    ];
    for (const [name, buffer, length] of cases) {
      const mr = await pd.regMr(buffer, LOCAL_WRITE);
      assert.equal(mr.length, length, name);
      assert.equal(mr.bytes.length, length, name);
      assert.equal(mr.access, LOCAL_WRITE, name);
      const view = ArrayBuffer.isView(buffer) ? buffer : new Uint8Array(buffer);
      mr.bytes[length - 1] = 0xa5;
      assert.equal(view[length - 1], 0xa5, name);
      await mr.close();
    }
    await pd.close();
  }));

test('rights that cannot be are refused, and so are empty buffers', () =>
  withDevice(async (device) => {
    const pd = await device.allocPd();
    const invalid = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
    for (const access of [REMOTE_WRITE, REMOTE_ATOMIC, REMOTE_READ | REMOTE_WRITE, 1 << 20, 0.5, -1]) {
      await assert.rejects(pd.regMr(new Uint8Array(8), access), invalid, `access ${access}`);
    }
    await assert.rejects(pd.regMr(new Uint8Array(0), LOCAL_WRITE), invalid);
    for (const access of [0, REMOTE_READ, LOCAL_WRITE, remoteAccess(device)]) {
      await (await pd.regMr(new Uint8Array(8), access)).close();
    }
    assert.equal(device.census().mrs, 0);
    await pd.close();
  }));

test('regions have addresses and keys of their own, also over the same memory', () =>
  withDevice(async (device) => {
    const pd = await device.allocPd();
    const bytes = new Uint8Array(4096);
    const regions: MemoryRegion[] = [];
    for (let i = 0; i < 8; i++) regions.push(await pd.regMr(bytes, remoteAccess(device)));
    assert.equal(new Set(regions.map(({ lkey }) => lkey)).size, regions.length);
    assert.equal(new Set(regions.map(({ rkey }) => rkey)).size, regions.length);
    for (const { addr, rkey } of regions) {
      assert.ok(addr > 0n && addr < 2n ** 64n);
      assert.notEqual(rkey, 0);
    }
    for (const mr of regions) await mr.close();
    await pd.close();
  }));

test('registered memory stays where it is while garbage is collected', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const length = 200_000;
      const wanted = pattern(length, 5);
      const target = await b.register(new ArrayBuffer(length));
      const back = await a.register(new SharedArrayBuffer(length));
      const source = await a.register(Uint8Array.from(wanted));
      const grant = { remoteAddr: target.addr, rkey: target.rkey, flags: SendFlags.SIGNALED };
      a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, sges: [{ mr: source }], ...grant });
      await a.succeed();
      for (let i = 0; i < 20; i++) {
        new Uint8Array(length).fill(0xee);
        collect();
        await new Promise((resolve) => setImmediate(resolve));
      }
      a.qp.postSend({ wrId: 2, opcode: WrOpcode.RDMA_READ, sges: [{ mr: back }], ...grant });
      await a.succeed();
      assertSameBytes(back.bytes, wanted, 'memory after collecting garbage');
    }),
  );
});

test('a region that was deregistered opens nothing any more', () =>
  withDevice((device) =>
    withPair(device, {}, async ({ a, b }) => {
      const target = await b.pd.regMr(new Uint8Array(64), remoteAccess(device));
      const source = await a.register(new Uint8Array(8).fill(7));
      const { bytes, addr, rkey } = target;
      await target.close();
      a.qp.postSend({
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        flags: SendFlags.SIGNALED,
        sges: [{ mr: source }],
        remoteAddr: addr,
        rkey,
      });
      assert.deepEqual(await a.statuses(1), ['1:REM_ACCESS_ERR']);
      assertSameBytes(bytes, new Uint8Array(64), 'the memory');
    }),
  ));
