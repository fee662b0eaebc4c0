/** Our host and our target on two soft devices: disks that are found, read, written, refused and lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NvmeBackend } from '../../src/nvme/backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { connectNvme, discoverNvme } from '../../src/nvme/host/nvme-host.js';
import { pattern } from '../../testkit/craft-packet.js';
import { within } from '../../testkit/within.js';
import { HOST_NQN, inWorld, NQN, useDevices } from './disk-world.js';

const DISK_BYTES = 8 << 20;

const devices = useDevices();

test('a disk is found by its name, and what is written is read again', async () => {
  await inWorld(
    devices,
    memoryBackend(DISK_BYTES, { blockBytes: 512 }),
    async ({ reach, connect, target }) => {
      const found = await discoverNvme(reach);
      assert.deepEqual(
        found.find(({ isDiscovery }) => !isDiscovery),
        {
          nqn: NQN,
          host: '127.0.0.3',
          port: reach.port,
          isDiscovery: false,
        },
      );
      const controller = await connect({ queues: 2 });
      assert.equal(controller.identity.model, 'queuepair');
      const disk = controller.namespace(1);
      assert.deepEqual([disk.sizeBytes, disk.blockBytes], [DISK_BYTES, 512]);
      const bytes = pattern(3 << 20);
      await disk.write(512, bytes, { durable: true });
      await disk.write(DISK_BYTES - 512, bytes.subarray(0, 512));
      await disk.flush();
      const again = new Uint8Array(bytes.length);
      await disk.read(512, again);
      assert.ok(Buffer.from(again).equals(bytes));
      await disk.writeZeroes(512, 1024);
      await disk.trim(1536, 512);
      await disk.read(0, again.subarray(0, 4096));
      assert.ok(again.subarray(0, 2048).every((byte) => byte === 0));
      assert.ok(Buffer.from(again.subarray(2048, 4096)).equals(bytes.subarray(1536, 3584)));
      assert.equal(target.counters()['queues'], 3);
      await controller.close();
      assert.equal(await controller.closed, 'this end closed it');
    },
  );
});

test('a disk is compared with bytes, block by block, and found equal or not', async () => {
  await inWorld(devices, memoryBackend(DISK_BYTES, { blockBytes: 512 }), async ({ connect }) => {
    await using controller = await connect();
    const disk = controller.namespace(1);
    const bytes = pattern(300 * 1024);
    await disk.write(512, bytes);
    assert.ok(disk.canCompare);
    assert.equal(await disk.compare(512, bytes), true);
    assert.equal(await disk.compare(512, bytes.subarray(0, 512)), true, 'in the capsule');
    for (const at of [0, 511, 70_000, bytes.length - 1]) {
      const other = bytes.slice();
      other[at] = (other[at] ?? 0) ^ 1;
      assert.equal(await disk.compare(512, other), false, `byte ${at}`);
    }
    await assert.rejects(disk.compare(DISK_BYTES, bytes), /beyond the end/);
    await disk.flush();
  });
});

test('many reads and writes at a time all arrive where they belong', async () => {
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect }) => {
    await using controller = await connect({ queueEntries: 8 });
    const disk = controller.namespace(1);
    const blocks = Array.from({ length: 300 }, (_, i) => Buffer.alloc(4096, `block ${i} `));
    await Promise.all(blocks.map((block, i) => disk.write(i * 4096, block)));
    const read = await Promise.all(
      blocks.map(async (_, i) => {
        const into = new Uint8Array(4096);
        await disk.read(i * 4096, into);
        return into;
      }),
    );
    for (const [i, block] of blocks.entries()) assert.ok(block.equals(read[i] as Uint8Array), `block ${i}`);
  });
});

test('what cannot be is told in words', async () => {
  await inWorld(
    devices,
    memoryBackend(DISK_BYTES),
    async ({ connect, reach }) => {
      await assert.rejects(connect({ nqn: 'nqn.2026-01.test:none' }), {
        code: 'ERR_RDMA_NVME',
        status: 'CONNECT_INVALID_PARAMETERS',
        message: /nqn\.2026-01\.test:none, which the target does not serve/,
      });
      await assert.rejects(connect({ hostNqn: 'nqn.2026-01.test:stranger' }), {
        status: 'CONNECT_INVALID_HOST',
        message: /does not let this host in/,
      });
      await assert.rejects(connect({ nqn: 'disk' }), {
        code: 'ERR_RDMA_INVALID_ARGUMENT',
        message: /nqn must be an NQN/,
      });
      await assert.rejects(connectNvme({ ...reach, nqn: NQN, port: 1 }), { code: 'ERR_RDMA_REJECTED' });
      await using controller = await connect();
      const disk = controller.namespace(1);
      await assert.rejects(disk.read(100, new Uint8Array(4096)), /offset of read must be a multiple/);
      await assert.rejects(disk.write(0, new Uint8Array(100)), /length of write must be a multiple/);
      await assert.rejects(disk.read(DISK_BYTES, new Uint8Array(4096)), /beyond the end/);
      assert.throws(() => controller.namespace(2), /there is no namespace 2; there are: 1/);
    },
    { subsystems: { [NQN]: { namespaces: [memoryBackend(DISK_BYTES)], allowedHosts: [HOST_NQN] } } },
  );
});

test('a disk that fails is told by its status, and the next command works', async () => {
  const inner = memoryBackend(DISK_BYTES);
  let isBroken = true;
  const backend: NvmeBackend = {
    ...inner,
    write: (offset, from, options) => {
      if (isBroken) throw new Error('no disk');
      inner.write(offset, from, options);
    },
  };
  await inWorld(devices, backend, async ({ connect }) => {
    await using controller = await connect();
    const disk = controller.namespace(1);
    await assert.rejects(disk.write(0, new Uint8Array(1 << 20)), {
      code: 'ERR_RDMA_NVME',
      status: 'WRITE_FAULT',
    });
    isBroken = false;
    await disk.write(0, new Uint8Array(1 << 20));
  });
});

test('when the target goes, what was under way rejects and the controller says so', async () => {
  const calls: string[] = [];
  const hang = (name: string) => (): Promise<void> => {
    calls.push(name);
    return released;
  };
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const backend = { ...memoryBackend(DISK_BYTES), read: hang('read'), write: hang('write') };
  await inWorld(devices, backend, async ({ connect, target }) => {
    const controller = await connect();
    const disk = controller.namespace(1);
    const reading = assert.rejects(disk.read(0, new Uint8Array(4096)), { code: 'ERR_RDMA_CONNECTION_LOST' });
    const writing = assert.rejects(disk.write(0, new Uint8Array(4096)), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
    while (calls.length < 2) await new Promise(setImmediate);
    const closing = target.close();
    await within(Promise.all([reading, writing]), 15_000);
    await within(controller.closed, 15_000);
    await assert.rejects(disk.flush(), { code: 'ERR_RDMA_CONNECTION_LOST' });
    release();
    await closing;
  });
});

test('an abort takes back what waits, and leaves open what a write on its way has done', async () => {
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const inner = memoryBackend(DISK_BYTES);
  let writes = 0;
  const backend: NvmeBackend = {
    ...inner,
    write: async (offset, from, options) => {
      writes++;
      await gate;
      inner.write(offset, from, options);
    },
  };
  await inWorld(devices, backend, async ({ connect }) => {
    await using controller = await connect({ queueEntries: 2 });
    const disk = controller.namespace(1);
    const first = new AbortController();
    const second = new AbortController();
    const leaving = assert.rejects(disk.write(0, new Uint8Array(4096), { signal: first.signal }), {
      code: 'ERR_RDMA_OUTCOME_UNKNOWN',
    });
    const waiting = assert.rejects(disk.write(4096, new Uint8Array(4096), { signal: second.signal }), {
      code: 'ERR_RDMA_ABORTED',
    });
    while (writes === 0) await new Promise(setImmediate);
    second.abort();
    await waiting;
    first.abort();
    await leaving;
    goOn();
    await disk.flush();
    assert.equal(writes, 1);
    await assert.rejects(disk.flush({ signal: first.signal }), { code: 'ERR_RDMA_ABORTED' });
  });
});

test('a host that keeps its controller alive keeps it, with nothing to read', async () => {
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect, target }) => {
    await using controller = await connect({ keepAliveMillis: 400 });
    await assert.rejects(within(controller.closed, 1500), /nothing came/);
    assert.equal(target.counters()['keepAliveExpired'], 0);
    await controller.namespace(1).flush();
  });
});

test('the disk hears what must be durable, and a flush before closing has resolved', async () => {
  const inner = memoryBackend(DISK_BYTES);
  const calls: string[] = [];
  const said = ({ durable }: { durable: boolean }): string => (durable ? 'durable' : 'volatile');
  const backend: NvmeBackend = {
    ...inner,
    write: (_offset, _from, options) => void calls.push(`${said(options)} write`),
    writeZeroes: (_offset, _length, options) => void calls.push(`${said(options)} zeroes`),
    flush: async () => {
      calls.push('flush');
      await new Promise((resolve) => setTimeout(resolve, 50));
      calls.push('flushed');
    },
  };
  await inWorld(devices, backend, async ({ connect }) => {
    const controller = await connect();
    const disk = controller.namespace(1);
    await disk.write(0, new Uint8Array(4096));
    await disk.write(0, new Uint8Array(4096), { durable: true });
    await disk.writeZeroes(0, 4096, { durable: true });
    await disk.writeZeroes(0, 4096);
    await disk.flush().then(() => calls.push('told'));
    await controller.close();
    calls.push('closed');
  });
  assert.deepEqual(calls, [
    ...['volatile write', 'durable write', 'durable zeroes', 'volatile zeroes'],
    ...['flush', 'flushed', 'told', 'flush', 'flushed', 'closed'],
  ]);
});
