/** Our host when its target goes and comes again: what is sent once more, what is not, and what the program hears. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NvmeBackend } from '../../src/nvme/backend.js';
import { memoryBackend } from '../../src/nvme/backends/memory-backend.js';
import { connectNvme, type NvmeController } from '../../src/nvme/host/nvme-host.js';
import type { ConnectNvmeOptions } from '../../src/nvme/host/options.js';
import type { NvmeTarget } from '../../src/nvme/target/nvme-target.js';
import { within } from '../../testkit/within.js';
import { expectEmpty, gatedBackend, NQN, placeOf, serve, useDevices } from './disk-world.js';

const DISK_BYTES = 4 << 20;
const SOON_MILLIS = 15_000;
const devices = useDevices();

/** A target that ends and comes again at the same port. */
class Service implements AsyncDisposable {
  target: NvmeTarget;
  readonly events: string[] = [];
  readonly #port: number;
  #back: (() => void) | undefined;

  static async start(backend: NvmeBackend): Promise<Service> {
    return new Service(await serve(devices, backend));
  }

  private constructor(target: NvmeTarget) {
    this.target = target;
    this.#port = target.address.port;
  }

  async connect(
    reconnect: NonNullable<ConnectNvmeOptions['reconnect']>,
    options: Partial<ConnectNvmeOptions> = {},
  ): Promise<NvmeController> {
    const to = await placeOf(devices, this.target);
    const controller = await connectNvme({ device: devices.host, ...to, nqn: NQN, reconnect, ...options });
    controller.on('reconnecting', (reason) => this.events.push(reason));
    controller.on('reconnected', () => {
      this.events.push('reconnected');
      this.#back?.();
    });
    return controller;
  }

  /** Resolves when a host is connected again. */
  back(): Promise<void> {
    return within(
      new Promise((resolve) => {
        this.#back = resolve;
      }),
      SOON_MILLIS,
    );
  }

  async restart(backend: NvmeBackend, nqn = NQN): Promise<void> {
    await this.target.close();
    const subsystems = { [nqn]: { namespaces: [backend] } };
    this.target = await serve(devices, backend, { port: this.#port, subsystems });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.target.close();
    expectEmpty(devices.target);
    expectEmpty(devices.host);
  }
}

const FAST = { delayMillis: 20, maxDelayMillis: 200 };
const BLOCK = 4096;
const filled = (value: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(value);

async function readBack(controller: NvmeController, offset = 0): Promise<number> {
  const into = new Uint8Array(BLOCK);
  await controller.namespace(1).read(offset, into);
  assert.ok(into.every((byte) => byte === into[0]));
  return into[0] ?? -1;
}

test('a host finds its disk again, and calls that came meanwhile are done then', async () => {
  const disk = memoryBackend(DISK_BYTES);
  await using service = await Service.start(disk);
  const controller = await service.connect(FAST, { queues: 2 });
  await controller.namespace(1).write(0, filled(1), { durable: true });
  const back = service.back();
  await service.target.close();
  while (controller.isConnected) await new Promise(setImmediate);
  const reading = readBack(controller);
  const writing = controller.namespace(1).write(BLOCK, filled(2, 3 * BLOCK));
  await service.restart(disk);
  await back;
  assert.equal(await reading, 1);
  await writing;
  assert.equal(await readBack(controller, 3 * BLOCK), 2);
  assert.ok(controller.isConnected);
  assert.deepEqual(service.events, ['the target disconnected', 'reconnected']);
  await controller.namespace(1).flush();
  await controller.close();
  assert.equal(await controller.closed, 'this end closed it');
});

test('a read that was under way is done again, and a write is of unknown outcome unless the program allows it', async () => {
  for (const repeatWrites of [false, true]) {
    const { backend, goOn, calls } = gatedBackend(DISK_BYTES, () => true);
    await using service = await Service.start(backend);
    const controller = await service.connect({ ...FAST, repeatWrites });
    const disk = controller.namespace(1);
    const reading = readBack(controller, BLOCK);
    const outcome = disk.write(0, filled(7)).then(
      () => 'written',
      ({ code }) => code,
    );
    while (calls.length < 2) await new Promise(setImmediate);
    const back = service.back();
    const restarting = service.restart(memoryBackend(DISK_BYTES));
    while (controller.isConnected) await new Promise(setImmediate);
    goOn();
    await restarting;
    await back;
    assert.equal(await reading, 0);
    assert.equal(await outcome, repeatWrites ? 'written' : 'ERR_RDMA_OUTCOME_UNKNOWN');
    assert.equal(await readBack(controller), repeatWrites ? 7 : 0);
    if (repeatWrites) await disk.flush();
    await controller.close();
  }
});

test('a write is not sent again when another one for its blocks was under way as well', async () => {
  const inner = memoryBackend(DISK_BYTES);
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slow: NvmeBackend = {
    ...inner,
    // The first writer is done, and its host does not hear of it.
    write: async (offset, from, options) => {
      inner.write(offset, from, options);
      if (from[0] === 1) await gate;
    },
  };
  await using service = await Service.start(slow);
  const controller = await service.connect({ ...FAST, repeatWrites: true });
  const disk = controller.namespace(1);
  const first = assert.rejects(disk.write(0, filled(1, 2 * BLOCK)), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
  const apart = disk.write(4 * BLOCK, filled(1));
  while ((await readBack(controller)) !== 1);
  await disk.write(BLOCK, filled(2), { durable: true });
  const back = service.back();
  const restarting = service.restart(inner);
  while (controller.isConnected) await new Promise(setImmediate);
  goOn();
  await restarting;
  await back;
  await first;
  await apart;
  assert.equal(await readBack(controller, BLOCK), 2);
  await disk.flush();
  await controller.close();
});

test('a flush does not cover what was confirmed by a controller that is gone, and says so once', async () => {
  const disk = memoryBackend(DISK_BYTES);
  await using service = await Service.start(disk);
  const controller = await service.connect(FAST);
  const namespace = controller.namespace(1);
  await namespace.write(0, filled(1));
  await namespace.flush();
  let back = service.back();
  await service.restart(disk);
  await back;
  await namespace.flush();
  await namespace.write(0, filled(2), { durable: true });
  await namespace.write(BLOCK, filled(2));
  back = service.back();
  await service.restart(disk);
  await back;
  await namespace.write(BLOCK, filled(3));
  const told = [namespace.flush(), namespace.flush()].map((one) =>
    assert.rejects(one, { code: 'ERR_RDMA_OUTCOME_UNKNOWN', message: /write them again, and flush/ }),
  );
  await Promise.all(told);
  await namespace.flush();
  await namespace.write(0, filled(4));
  back = service.back();
  await service.restart(disk);
  await back;
  await assert.rejects(controller.close(), { code: 'ERR_RDMA_OUTCOME_UNKNOWN' });
});

test('another disk under the same name is not taken for the one before', async () => {
  await using service = await Service.start(memoryBackend(DISK_BYTES));
  const controller = await service.connect(FAST);
  await service.restart(memoryBackend(DISK_BYTES / 2));
  const waiting = assert.rejects(readBack(controller), { code: 'ERR_RDMA_CONNECTION_LOST' });
  assert.equal(
    await within(controller.closed, SOON_MILLIS),
    'the target is not what it was before: namespace 1 has another size',
  );
  await waiting;
  await controller.close();
});

test('a target that has no such subsystem any more is not asked again', async () => {
  await using service = await Service.start(memoryBackend(DISK_BYTES));
  const controller = await service.connect(FAST);
  const errors: string[] = [];
  controller.on('attemptFailed', ({ code }) => errors.push(code));
  await service.restart(memoryBackend(DISK_BYTES), 'nqn.2026-01.test:other');
  assert.match(await within(controller.closed, SOON_MILLIS), /which the target does not serve/);
  assert.deepEqual(
    [...new Set(errors.slice(0, -1))].filter((code) => code !== 'ERR_RDMA_REJECTED'),
    [],
  );
  assert.equal(errors.at(-1), 'ERR_RDMA_NVME');
});

test('attempts end with their number, with their signal, and with the controller', async () => {
  const given = new AbortController();
  for (const [reconnect, end, reason] of [
    [{ ...FAST, attempts: 2 }, () => {}, /^2 attempts failed; the last reason: /],
    [
      { delayMillis: 60_000, signal: given.signal },
      () => given.abort(),
      /^the program gave up reconnecting$/,
    ],
    [
      { delayMillis: 60_000 },
      (controller: NvmeController) => void controller.close(),
      /^this end closed it$/,
    ],
  ] as const) {
    await using service = await Service.start(memoryBackend(DISK_BYTES));
    const controller = await service.connect(reconnect);
    await service.target.close();
    while (controller.isConnected) await new Promise(setImmediate);
    const signal = AbortSignal.timeout(100);
    await assert.rejects(controller.namespace(1).read(0, filled(0), { signal }), {
      code: /^ERR_RDMA_(ABORTED|CONNECTION_LOST)$/,
    });
    const waiting = assert.rejects(readBack(controller), { code: 'ERR_RDMA_CONNECTION_LOST' });
    end(controller);
    assert.match(await within(controller.closed, SOON_MILLIS), reason);
    await waiting;
    await assert.rejects(readBack(controller), { code: 'ERR_RDMA_CONNECTION_LOST' });
    await controller.close();
  }
});

test('what a program chooses of it is checked', async () => {
  await using service = await Service.start(memoryBackend(DISK_BYTES));
  for (const [reconnect, message] of [
    [1, /^reconnect must be an object, not 1$/],
    [{ attempts: 0 }, /^reconnect\.attempts must be an integer of 1 or more, not 0$/],
    [{ delay: 1 }, /^there is no option reconnect\.delay; there are: /],
  ] as const) {
    await assert.rejects(service.connect(reconnect as never), { code: 'ERR_RDMA_INVALID_ARGUMENT', message });
  }
});
