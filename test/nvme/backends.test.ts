/** Backends: what a file says of durability, what much to clear costs, and what a backend that misbehaves can do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileBackend, fileBackend } from '../../src/nvme/backends/file-backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { readTrimRanges } from '../../src/nvme/target/io-request.js';
import { makeSubsystem, type Namespace } from '../../src/nvme/target/subsystem.js';

const DISK_BYTES = 1 << 20;

type Handle = ConstructorParameters<typeof FileBackend>[0];

/** A file in memory that takes and gives `mostBytes` at a time, and syncs as `sync` says. */
function stubFile(mostBytes: number, sync: () => Promise<void>): { handle: Handle; calls: string[] } {
  const bytes = new Uint8Array(DISK_BYTES).fill(7);
  const calls: string[] = [];
  const handle = {
    read: async (into: Uint8Array, at: number, length: number, position: number) => {
      const bytesRead = Math.min(mostBytes, length);
      into.set(bytes.subarray(position, position + bytesRead), at);
      return { bytesRead, buffer: into };
    },
    write: async (from: Uint8Array, at: number, length: number, position: number) => {
      const bytesWritten = Math.min(mostBytes, length);
      bytes.set(from.subarray(at, at + bytesWritten), position);
      calls.push(`write ${position}`);
      return { bytesWritten, buffer: from };
    },
    datasync: () => {
      calls.push('sync');
      return sync();
    },
    close: async () => {},
  } as unknown as Handle;
  return { handle, calls };
}

const fine = async (): Promise<void> => {};
const volatile = { durable: false };
const durable = { durable: true };

test('a file that takes and gives little at a time gets and gives all of it, and is synced last', async () => {
  const { handle, calls } = stubFile(3000, fine);
  const disk = new FileBackend(handle, DISK_BYTES, 4096);
  const bytes = new Uint8Array(8192).map((_, i) => i % 251);
  await disk.write(4096, bytes, durable);
  assert.deepEqual(calls, ['write 4096', 'write 7096', 'write 10096', 'sync']);
  const again = new Uint8Array(8192);
  await disk.read(4096, again);
  assert.deepEqual(again, bytes);
  await disk.writeZeroes(4096, 8192, durable);
  assert.equal(calls.at(-1), 'sync');
  await disk.read(4096, again);
  assert.ok(again.every((byte) => byte === 0));
});

test('a file that takes nothing more fails the write', async () => {
  const disk = new FileBackend(stubFile(0, fine).handle, DISK_BYTES, 4096);
  await assert.rejects(disk.write(0, new Uint8Array(4096), volatile), /takes no more bytes/);
  await assert.rejects(disk.read(0, new Uint8Array(4096)), /became shorter/);
});

test('once a file could not be made durable, no flush and no durable write succeeds', async () => {
  let syncs = 0;
  const { handle } = stubFile(4096, async () => {
    syncs++;
    if (syncs === 2) throw new Error('EIO');
  });
  const disk = new FileBackend(handle, DISK_BYTES, 4096);
  await disk.flush();
  await assert.rejects(disk.flush(), /could not be made durable.*EIO/);
  await assert.rejects(disk.flush(), /EIO/);
  await assert.rejects(disk.write(0, new Uint8Array(4096), durable), /EIO/);
  await assert.rejects(disk.writeZeroes(0, 4096, durable), /EIO/);
  await disk.write(0, new Uint8Array(4096), volatile);
});

test('a failure that the system told to another flush fails those beside it', async () => {
  const tell: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const { handle } = stubFile(4096, () => new Promise((resolve, reject) => tell.push({ resolve, reject })));
  const disk = new FileBackend(handle, DISK_BYTES, 4096);
  const first = assert.rejects(disk.flush(), /EIO/);
  const second = assert.rejects(disk.flush(), /EIO/);
  tell[0]?.reject(new Error('EIO'));
  tell[1]?.resolve();
  await first;
  await second;
});

test('a file that is made survives with its name: its folder is synced', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-nvme-'));
  try {
    const handle = await open(folder, 'r');
    const sync = t.mock.method(Object.getPrototypeOf(handle), 'sync');
    await handle.close();
    const disk = await fileBackend(join(folder, 'disk.img'), { sizeBytes: DISK_BYTES });
    assert.equal(sync.mock.callCount(), 1);
    await disk.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a disk in memory that clears much lets the program go on meanwhile', async () => {
  const disk = memoryBackend(64 << 20);
  const all = new Uint8Array(4096);
  disk.write((64 << 20) - 4096, all.fill(9), volatile);
  let turns = 0;
  const ticking = setImmediate(function tick() {
    turns++;
    if (turns < 1000) setImmediate(tick);
  });
  await Promise.all([disk.trim?.(0, 64 << 20), disk.writeZeroes?.(0, 64 << 20, volatile)]);
  clearImmediate(ticking);
  assert.ok(turns > 100, `${turns} turns`);
  disk.read((64 << 20) - 4096, all);
  assert.ok(all.every((byte) => byte === 0));
  turns = 1000;
});

test('a trim clears each block once, however often the host names it', () => {
  const data = new Uint8Array(256 * 16);
  const view = new DataView(data.buffer);
  for (let i = 0; i < 256; i++) view.setUint32(i * 16 + 4, 256, true);
  view.setUint32(4, 10, true);
  const [namespace] = makeSubsystem(
    'nqn.2026-01.test:disk',
    [memoryBackend(DISK_BYTES)],
    undefined,
  ).namespaces;
  const whole = { offsetBytes: 0, lengthBytes: DISK_BYTES };
  assert.deepEqual(readTrimRanges(data, namespace as Namespace), [whole]);
  data.fill(0);
  for (const [i, [first, count]] of [
    [9, 1],
    [2, 2],
    [3, 3],
    [20, 1],
    [6, 1],
  ].entries()) {
    view.setUint32(i * 16 + 4, count as number, true);
    view.setUint32(i * 16 + 8, first as number, true);
  }
  assert.deepEqual(
    readTrimRanges(data, namespace as Namespace)?.map(({ offsetBytes, lengthBytes }) => [
      offsetBytes / 4096,
      lengthBytes / 4096,
    ]),
    [
      [2, 5],
      [9, 1],
      [20, 1],
    ],
  );
});
