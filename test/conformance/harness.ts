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
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toPsn, toQKey } from '../../src/verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import type { Device, GidEntry, PortAttributes, ProtectionDomain } from '../../src/verbs/device.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { toPathMtu } from '../../src/verbs/mtu.js';
import type { QpAttributes } from '../../src/verbs/qp-attributes.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import type { QueuePair, QueuePairOptions } from '../../src/verbs/queue-pair.js';
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
    // Closing would complain of what the failed test left, and hide why it failed.
    await device.close().catch(() => {});
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
  readonly qp?: Partial<Omit<QueuePairOptions, 'sendCq' | 'recvCq'>>;
  readonly cqCapacity?: number;
  /** An open protection domain to use, which stays open. Default: a new one. */
  readonly pd?: ProtectionDomain;
}

/** A queue pair with everything that it needs of its own. */
export class End {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  readonly cq: CompletionQueue;
  readonly qp: QueuePair;
  readonly #opened: AsyncDisposable[] = [];

  static async open(device: Device, options: EndOptions = {}): Promise<End> {
    const domain = options.pd ?? (await device.allocPd());
    const channel = await device.createCompletionChannel();
    const cq = await device.createCq({ capacity: options.cqCapacity ?? CQ_ENTRIES, channel });
    const qp = await domain.createQp({ sendCq: cq, recvCq: cq, ...options.qp });
    return new End(device, domain, channel, cq, qp, options.pd === undefined);
  }

  private constructor(
    device: Device,
    pd: ProtectionDomain,
    channel: CompletionChannel,
    cq: CompletionQueue,
    qp: QueuePair,
    ownsPd: boolean,
  ) {
    this.device = device;
    this.pd = pd;
    this.channel = channel;
    this.cq = cq;
    this.qp = qp;
    if (ownsPd) this.#opened.push(pd);
  }

  /** Registers memory that is deregistered with the end. */
  async register(
    bytes: Uint8Array | ArrayBuffer | SharedArrayBuffer,
    access = remoteAccess(this.device),
  ): Promise<MemoryRegion> {
    return this.keep(await this.pd.regMr(bytes, access));
  }

  /** Closes `object` with the end, before what was opened earlier. */
  keep<T extends AsyncDisposable>(object: T): T {
    this.#opened.push(object);
    return object;
  }

  /**
   * The next `count` completions, found as a program should: arm, poll until empty, wait.
   *
   * @throws AssertionError when they do not come in time, with those that did.
   */
  async completions(count: number): Promise<WorkCompletion[]> {
    const found: WorkCompletion[] = [];
    const deadline = Date.now() + WAIT_MILLIS;
    while (found.length < count) {
      this.cq.reqNotify();
      const batch = createCompletions(count - found.length);
      const polled = this.cq.poll(batch);
      found.push(...batch.slice(0, polled));
      if (polled > 0) continue;
      const event = await this.#event(deadline - Date.now());
      assert.ok(event, `waited for ${count} completions, got ${found.map(describe).join(', ') || 'none'}`);
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

  /** `false` when none came in time. */
  #event(timeoutMillis: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (came: boolean): void => {
        clearTimeout(timer);
        this.channel.onEvent = null;
        resolve(came);
      };
      const timer = setTimeout(end, timeoutMillis, false);
      this.channel.onEvent = () => end(true);
    });
  }

  async close(): Promise<void> {
    await this.qp.close();
    await this.cq.close();
    await this.channel.close();
    for (const object of this.#opened.reverse()) await object[Symbol.asyncDispose]();
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
  /** Changes to what both ends are brought up with. */
  readonly attributes?: Partial<QpAttributes>;
}

/** Two connected ends for the time of `run`. */
export async function withPair(
  device: Device,
  options: PairOptions,
  run: (pair: Pair) => Promise<void>,
): Promise<void> {
  const a = await End.open(device, options);
  const b = await End.open(device, { ...options, ...options.b });
  const port = await device.queryPort();
  const gid = await ownGid(device);
  for (const [own, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    await bringUp(own, peer.qp, port, gid, options.attributes);
  }
  try {
    await run({ a, b, mtu: options.attributes?.pathMtu ?? port.activeMtu });
  } catch (error) {
    // What stays open would keep the process alive; why the test failed is what counts.
    await Promise.allSettled([a.close(), b.close()]);
    throw error;
  }
  await a.close();
  await b.close();
}

/** First PSN of a queue pair in these tests: close enough to the end for every longer test to wrap. */
export const firstPsn = (qp: QueuePair): number => (0xfffff0 + qp.qpn) & 0xffffff;

/** The attributes of every step from RESET to RTS for a queue pair of type RC or UC. */
export function steps(
  qp: QueuePair,
  peer: Pick<QueuePair, 'qpn'> & QueuePair,
  port: PortAttributes,
  gid: GidEntry,
  device: Device,
  changes: Partial<QpAttributes> = {},
): { init: QpAttributes; rtr: QpAttributes; rts: QpAttributes } {
  const isReliable = qp.type === QpType.RC;
  const { maxQpRdAtom, maxQpInitRdAtom } = device.attributes;
  const pick = (attributes: QpAttributes): QpAttributes => {
    const chosen: Record<string, unknown> = { ...attributes };
    for (const [name, value] of Object.entries(changes)) if (name in attributes) chosen[name] = value;
    return chosen as QpAttributes;
  };
  const depth = Math.min(16, maxQpRdAtom, maxQpInitRdAtom);
  return {
    init: pick({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: remoteAccess(device) }),
    rtr: pick({
      state: QpState.RTR,
      av: { dgid: gid.gid, sgidIndex: gid.index, udpPort: port.udpPort },
      pathMtu: toPathMtu(port.activeMtu),
      destQpn: peer.qpn,
      rqPsn: toPsn(firstPsn(peer)),
      ...(isReliable ? { maxDestRdAtomic: depth, minRnrTimer: 12 } : {}),
    }),
    rts: pick({
      state: QpState.RTS,
      sqPsn: toPsn(firstPsn(qp)),
      ...(isReliable ? { timeout: 14, retryCount: 6, rnrRetry: 7, maxRdAtomic: depth } : {}),
    }),
  };
}

async function bringUp(
  own: End,
  peer: QueuePair,
  port: PortAttributes,
  gid: GidEntry,
  changes?: Partial<QpAttributes>,
): Promise<void> {
  const { init, rtr, rts } = steps(own.qp, peer, port, gid, own.device, changes);
  await own.qp.modify(init);
  await own.qp.modify(rtr);
  await own.qp.modify(rts);
}

/** Takes a UD queue pair to RTS. */
export async function bringUpDatagram(qp: QueuePair): Promise<void> {
  await qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, qkey: QKEY });
  await qp.modify({ state: QpState.RTR });
  await qp.modify({ state: QpState.RTS, sqPsn: toPsn(firstPsn(qp)) });
}

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
