/** Our host at a target that is there and says nothing, and at one that cannot make durable what it confirmed. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { NvmeBackend } from '../../src/nvme/backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { CommandRouter } from '../../src/nvme/host/command-router.js';
import type { HostCommand } from '../../src/nvme/host/host-command.js';
import { abortedError } from '../../src/nvme/host/host-errors.js';
import { NvmeNamespace } from '../../src/nvme/host/namespace.js';
import { TargetQueue } from '../../src/nvme/target/target-queue.js';
import { within } from '../../testkit/within.js';
import { gatedBackend, inWorld, useDevices } from './disk-world.js';

const DISK_BYTES = 4 << 20;

const devices = useDevices();

/** From its word on the target takes commands and answers none of those that `isMute` chooses. */
function muteTarget(t: TestContext): { isMute: (queue: TargetQueue) => boolean; asked: number } {
  const mute = { isMute: (_: TargetQueue): boolean => false, asked: 0 };
  const { answer } = TargetQueue.prototype;
  t.mock.method(TargetQueue.prototype, 'answer', function (this: TargetQueue, ...args: never[]) {
    if (mute.isMute(this)) mute.asked++;
    else Reflect.apply(answer, this, args);
  });
  return mute;
}

test('a target that does not answer Connect is given up after the time limit', async (t) => {
  const mute = muteTarget(t);
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect }) => {
    mute.isMute = () => true;
    await assert.rejects(within(connect({ timeoutMillis: 500 }), 10_000), {
      code: 'ERR_RDMA_TIMEOUT',
      message: /did not answer within 500 ms: to connect to nqn\.2026-01\.test:disk/,
    });
    mute.isMute = ({ qid, controller }) => qid === 0 && controller !== undefined;
    await assert.rejects(within(connect({ timeoutMillis: 500 }), 10_000), { code: 'ERR_RDMA_TIMEOUT' });
    mute.isMute = ({ qid }) => qid === 1;
    await assert.rejects(within(connect({ timeoutMillis: 500 }), 10_000), { code: 'ERR_RDMA_TIMEOUT' });
  });
});

test('a signal gives up the connecting at every step', async (t) => {
  const mute = muteTarget(t);
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect }) => {
    for (const isMute of [
      () => true,
      ({ qid, controller }: TargetQueue) => qid === 0 && controller?.isReady === true,
      ({ qid }: TargetQueue) => qid === 1,
    ]) {
      mute.isMute = isMute;
      mute.asked = 0;
      const given = new AbortController();
      const connecting = assert.rejects(connect({ signal: given.signal }), { code: 'ERR_RDMA_ABORTED' });
      while (mute.asked === 0) await new Promise(setImmediate);
      given.abort();
      await within(connecting, 5000);
    }
    mute.isMute = () => false;
    const given = new AbortController();
    await using controller = await connect({ signal: given.signal, keepAliveMillis: 200 });
    given.abort();
    await assert.rejects(within(controller.closed, 500), /nothing came/, 'once connected it counts no more');
  });
});

test('a keep-alive that is not answered ends the controller, and no second one is sent meanwhile', async (t) => {
  const mute = muteTarget(t);
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect }) => {
    const controller = await connect({ keepAliveMillis: 2000, shutdownMillis: 300 });
    mute.isMute = () => true;
    const disk = controller.namespace(1);
    const writing = assert.rejects(disk.write(0, new Uint8Array(4096)), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
    assert.equal(await within(controller.closed, 10_000), 'the target did not answer a keep-alive');
    await writing;
    // The write, one keep-alive, and the orderly end.
    assert.equal(mute.asked, 3);
    await controller.close();
  });
});

test('closing ends after its time limit at a target that says nothing, and tells what may be lost', async (t) => {
  const mute = muteTarget(t);
  await inWorld(devices, memoryBackend(DISK_BYTES), async ({ connect }) => {
    const options = { keepAliveMillis: 0, shutdownMillis: 300 };
    const flushed = await connect(options);
    await flushed.namespace(1).write(0, new Uint8Array(4096));
    await flushed.namespace(1).flush();
    await flushed.namespace(1).write(0, new Uint8Array(4096), { durable: true });
    const dirty = await connect(options);
    await dirty.namespace(1).write(0, new Uint8Array(4096));
    await dirty.namespace(1).flush();
    await dirty.namespace(1).write(0, new Uint8Array(4096));
    mute.isMute = () => true;
    await within(flushed.close(), 10_000);
    await assert.rejects(within(dirty.close(), 10_000), {
      code: 'ERR_RDMA_OUTCOME_UNKNOWN',
      message: /since the last flush may not survive a crash of the target: .*within 300 ms/,
    });
    assert.equal(await dirty.closed, 'this end closed it');
  });
});

test('closing rejects when the target could not make durable what was written', async () => {
  const backend: NvmeBackend = {
    ...memoryBackend(DISK_BYTES),
    flush: async () => {
      throw new Error('no disk');
    },
  };
  await inWorld(devices, backend, async ({ connect }) => {
    const controller = await connect();
    await controller.namespace(1).write(0, new Uint8Array(4096));
    await assert.rejects(within(controller.close(), 10_000), {
      code: 'ERR_RDMA_OUTCOME_UNKNOWN',
      message: /the controller failed when it was shut down/,
    });
  });
});

test('a write of which a part is done is of unknown outcome when it is aborted', async (t) => {
  const warn = t.mock.method(process, 'emitWarning');
  const { backend, goOn, calls } = gatedBackend(DISK_BYTES, (name, call) => name !== 'flush' && call > 1);
  await inWorld(devices, backend, async ({ connect }) => {
    await using controller = await connect({ queueEntries: 3, chunkBytes: 4096 });
    const disk = controller.namespace(1);
    const given = new AbortController();
    const options = { signal: given.signal };
    const writing = assert.rejects(disk.write(0, new Uint8Array(16 * 4096), options), {
      code: 'ERR_RDMA_OUTCOME_UNKNOWN',
    });
    const writes = (): number => calls.filter((name) => name === 'write').length;
    while (writes() < 3) await new Promise(setImmediate);
    given.abort();
    await writing;
    const zeroing = disk.writeZeroes(0, 4096, options);
    await assert.rejects(zeroing, { code: 'ERR_RDMA_ABORTED' }, 'nothing of it has left');
    goOn();
    await disk.flush();
    assert.equal(writes(), 3);
    assert.equal(warn.mock.callCount(), 0, 'no leak of listeners is warned of');
  });
});

test('a failed part of a write takes the waiting parts back', async () => {
  let writes = 0;
  const backend: NvmeBackend = {
    ...memoryBackend(DISK_BYTES),
    write: async () => {
      writes++;
      throw new Error('no disk');
    },
  };
  await inWorld(devices, backend, async ({ connect }) => {
    await using controller = await connect({ queueEntries: 3, chunkBytes: 4096 });
    await assert.rejects(controller.namespace(1).write(0, new Uint8Array(64 * 4096)), {
      code: 'ERR_RDMA_NVME',
      status: 'WRITE_FAULT',
    });
    assert.ok(writes < 8, `${writes} parts left`);
  });
});

test('what comes in several commands is of unknown outcome once one has succeeded, and chunks are whole blocks', async () => {
  let given = new AbortController();
  const lengths: number[] = [];
  const queue = {
    load: 0,
    withdraw: () => {},
    run: async ({ what, signal, send, receive }: HostCommand) => {
      if (signal?.aborted === true) throw abortedError(what, signal);
      lengths.push((send ?? receive)?.length ?? 0);
      given.abort();
      return { status: 0, resultLow: 0, resultHigh: 0, sqHead: 0, sqId: 1, cid: 0 };
    },
  };
  const router = new CommandRouter({ chunkBytes: 10_000, repeatsWrites: false });
  router.connected([queue]);
  const init = { id: 1, blocks: 2 ** 34, blockBytes: 4096, optionalCommands: 0xff, router };
  const disk = new NvmeNamespace(init);
  const many = 2 ** 33 * 4096;
  const outcomes: string[] = [];
  for (const call of [
    () => disk.write(0, new Uint8Array(4 * 4096), { signal: given.signal }),
    () => disk.read(0, new Uint8Array(4 * 4096), { signal: given.signal }),
    () => disk.writeZeroes(0, many, { signal: given.signal }),
    () => disk.trim(0, many, { signal: given.signal }),
  ]) {
    given = new AbortController();
    outcomes.push(await call().then(String, ({ code }) => code));
  }
  const unknown = 'ERR_RDMA_OUTCOME_UNKNOWN';
  assert.deepEqual(outcomes, [unknown, 'ERR_RDMA_ABORTED', unknown, unknown]);
  assert.deepEqual(lengths, [8192, 8192, 0, 16]);
});
