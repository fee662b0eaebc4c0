/**
 * What the conformance suite stands on. The suite runs against any device: QUEUEPAIR_CONFORMANCE_DEVICE names it, the
 * soft device on 127.0.0.1 is the default. Both ends of a pair are queue pairs of that one device, each with a
 * protection domain of its own, so nothing but the device is needed.
 *
 * A test that needs what the device's attributes say it lacks skips, and prints the reason. Time limits are generous:
 * the device may be the kernel's in an emulated machine.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Endpoint, type EndpointOptions, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { type Psn, toPsn, toQKey } from '../../src/verbs/brands.js';
import type { PathOptions } from '../../src/verbs/bring-up.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import type { Device, GidEntry, ProtectionDomain } from '../../src/verbs/device.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import type { QueuePair } from '../../src/verbs/queue-pair.js';
import { createCompletions, statusName, WorkCompletion } from '../../src/verbs/work-completion.js';

export const deviceName = process.env['QUEUEPAIR_CONFORMANCE_DEVICE'] ?? 'soft:127.0.0.1';

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;
export const ALL_ACCESS = LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC;
/** What may be granted on a device without atomics, too. */
export const remoteAccess = (device: Device): number =>
  device.attributes.atomics ? ALL_ACCESS : ALL_ACCESS & ~REMOTE_ATOMIC;

export const QKEY = toQKey(0x11223344);
export const GRH_BYTES = 40;
const WAIT_MILLIS = 30_000;
const CQ_ENTRIES = 256;

/** Opens the device for one test, and fails the test if it left anything behind. */
export async function withDevice(run: (device: Device) => Promise<void>): Promise<void> {
  const device = await openDevice(deviceName);
  try {
    await run(device);
    assert.deepEqual(new Set(Object.values(device.census())), new Set([0]), 'something was left open');
  } catch (error) {
    // What stays open would keep the process alive; why the test failed is what counts.
    await device.close({ force: true }).catch(() => {});
    throw error;
  }
  await device.close();
}

/** Skips with the reason unless `offered`; `true` when the test must return. */
export function skipUnless(offered: boolean, t: TestContext, what: string): boolean {
  if (!offered) t.skip(`${deviceName} does not offer ${what}`);
  return !offered;
}

/** The address that the tests use: the first that is not bound to a link. */
export async function ownGid(device: Device): Promise<GidEntry> {
  const gids = await device.queryGids();
  const usable = gids.filter(({ type }) => type !== 'RoCE v1');
  const found = usable.find(({ gid }) => !/^fe[89ab]/i.test(gid)) ?? usable[0];
  assert.ok(found !== undefined, `${deviceName} has no usable GID`);
  return found;
}

export interface EndOptions {
  readonly qp?: Pick<EndpointOptions, 'type' | 'capacity' | 'signalAll' | 'srq'>;
  readonly cqCapacity?: number;
  /** An open protection domain to use, which stays open. Default: a new one. */
  readonly pd?: ProtectionDomain;
  /** What the peer may do through the queue pair. Default: all that the device offers. */
  readonly access?: number;
  readonly path?: PathOptions;
}

/** An endpoint in INIT, with what tests want of it. */
export class End {
  readonly endpoint: Endpoint;
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  readonly cq: CompletionQueue;
  readonly qp: QueuePair;

  static async open(device: Device, options: EndOptions = {}): Promise<End> {
    const { qp, pd, path, cqCapacity = CQ_ENTRIES, access = remoteAccess(device) & ~LOCAL_WRITE } = options;
    const gidIndex = (await ownGid(device)).index;
    return new End(
      await openEndpoint(device, {
        ...qp,
        ...(pd === undefined ? {} : { pd }),
        cqCapacity,
        access,
        psn: nextPsn(),
        path: { retryCount: 6, qkey: QKEY, gidIndex, ...path },
        wait: { timeoutMillis: WAIT_MILLIS },
      }),
    );
  }

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
    this.device = endpoint.device;
    this.pd = endpoint.pd;
    this.channel = endpoint.channel;
    this.cq = endpoint.recvCq;
    this.qp = endpoint.qp;
  }

  /** Registers memory that is deregistered with the end. */
  register(
    bytes: Uint8Array | ArrayBuffer | SharedArrayBuffer,
    access = remoteAccess(this.device),
  ): Promise<MemoryRegion> {
    return this.endpoint.register(bytes, access);
  }

  /** Closes `object` with the end, before what was kept earlier. */
  keep<T extends AsyncDisposable>(object: T): T {
    return this.endpoint.keep(object);
  }

  /**
   * The next `count` completions, found as a program should: arm, poll until empty, wait.
   *
   * @throws AssertionError when they do not come in time, with those that did.
   */
  async completions(count: number): Promise<WorkCompletion[]> {
    const found: WorkCompletion[] = [];
    while (found.length < count) {
      const batch = createCompletions(count - found.length);
      const taken = await this.endpoint.take(batch);
      const so = found.map(describe).join(', ') || 'none';
      assert.ok(taken > 0, `waited for ${count} completions, got ${so}`);
      found.push(...batch.slice(0, taken));
    }
    return found;
  }

  /** As `completions`, as `wrId:STATUS`. */
  async statuses(count: number): Promise<string[]> {
    return (await this.completions(count)).map(describe);
  }

  /** The next completion, which must be a success. */
  async succeed(): Promise<WorkCompletion> {
    const [wc = new WorkCompletion()] = await this.completions(1);
    assert.equal(statusName(wc.status), 'SUCCESS', `request ${wc.wrId}`);
    return wc;
  }

  close(): Promise<void> {
    return this.endpoint.close();
  }
}

export const describe = ({ wrId, status }: WorkCompletion): string => `${wrId}:${statusName(status)}`;

export interface Pair {
  readonly a: End;
  readonly b: End;
  readonly mtu: number;
}

export interface PairOptions extends EndOptions {
  /** For the second end only. */
  readonly b?: EndOptions;
}

/** Two connected ends for the time of `run`. */
export async function withPair(
  device: Device,
  options: PairOptions,
  run: (pair: Pair) => Promise<void>,
): Promise<void> {
  const a = await End.open(device, options);
  const b = await End.open(device, { ...options, ...options.b });
  try {
    await a.endpoint.connect(b.endpoint.address);
    await b.endpoint.connect(a.endpoint.address);
    await run({ a, b, mtu: a.endpoint.address.mtu });
  } catch (error) {
    // What stays open would keep the process alive; why the test failed is what counts.
    await Promise.allSettled([a.close(), b.close()]);
    throw error;
  }
  await a.close();
  await b.close();
}

let opened = 0;
/** Close enough to the end for every longer test to wrap. */
const nextPsn = (): Psn => toPsn(0xfffff0 + (opened++ & 15));

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

/** Compares without printing a megabyte. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) assert.fail(`${what}: byte ${i} is ${actual[i]}, not ${expected[i]}`);
  }
}
