/**
 * One end of a queue pair: a protection domain, a completion channel, completion queues, the queue pair and its memory,
 * opened together, closed together, and brought up with what the other end says of itself. How that came here is the
 * program's business: an endpoint gives its own `address` as plain data and takes the peer's.
 *
 * Invariants: what was opened is closed in order, also after a failure half-way (queue pair, memory, queues, channel,
 * domain); the device stays open. Receives can be posted from the beginning, before the peer knows of this end.
 */
import { randomInt } from 'node:crypto';
import { AccessFlags } from '../verbs/access-flags.js';
import { PSN_MASK, type Psn, toPsn } from '../verbs/brands.js';
import { type OwnPath, PATH_DEFAULTS, type PathOptions, toInit, toRtr, toRts } from '../verbs/bring-up.js';
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import type { Device, GidEntry, ProtectionDomain } from '../verbs/device.js';
import { usageError } from '../verbs/errors.js';
import { ownGid } from '../verbs/gid-choice.js';
import type { MemoryRegion } from '../verbs/memory-region.js';
import type { PathMtu } from '../verbs/mtu.js';
import type { PeerPath } from '../verbs/peer-path.js';
import type { QpCapacity } from '../verbs/qp-attributes.js';
import { QpType } from '../verbs/qp-state.js';
import type { QueuePair, SharedReceiveQueue } from '../verbs/queue-pair.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import { CompletionWaiter, type TakeCompletion, type WaitOptions } from './completion-waiter.js';

/** Memory to register: so many new bytes, or these. */
export type MemorySource = number | Uint8Array | ArrayBuffer | SharedArrayBuffer;

export interface EndpointOptions {
  /** Default RC. */
  readonly type?: QpType;
  /** Of the queue pair, as `QueuePairOptions.capacity`. */
  readonly capacity?: Partial<QpCapacity>;
  /** Registered as {@link Endpoint.memory}. Default: none. */
  readonly memory?: MemorySource;
  /**
   * `AccessFlags`: what the peer may do with the memory, through this queue pair. REMOTE_WRITE, REMOTE_READ and
   * REMOTE_ATOMIC in any combination; default 0, which is nothing. LOCAL_WRITE goes without saying.
   */
  readonly access?: number;
  /** Sends and receives complete into queues of their own. Default: into one. */
  readonly separateCqs?: boolean;
  /** Entries of each completion queue. Default: as many as requests can be under way. */
  readonly cqCapacity?: number;
  /** Every send request produces a completion, SIGNALED or not. Default false. */
  readonly signalAll?: boolean;
  /** Where receives are taken from, in place of the queue pair's own. */
  readonly srq?: SharedReceiveQueue;
  /** An open protection domain to use; it stays open. Default: a new one. */
  readonly pd?: ProtectionDomain;
  /** The address at which the peer reaches this machine already, to choose among the device's GIDs. */
  readonly near?: string;
  /** As the device is asked: port and GID belong to the address that the peer is told. The rest is for `connect`. */
  readonly path?: PathOptions;
  /** The first PSN to send. Default: random, of the operating system's CSPRNG. */
  readonly psn?: Psn;
  /** Largest path MTU. Default: that of the port. */
  readonly mtu?: PathMtu;
  /** READs and atomics under way at a time, each way. Default 16, or as many as the device can. */
  readonly rdAtomic?: number;
  readonly wait?: WaitOptions;
}

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC } = AccessFlags;
const REMOTE = REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC;
const DEFAULT_RD_ATOMIC = 16;

/** What an endpoint is made of. */
interface Parts {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly qp: QueuePair;
  readonly region: MemoryRegion | null;
  readonly address: PeerPath;
  readonly sgid: GidEntry;
}

/**
 * Opens one end of a queue pair on a device (`ibv_alloc_pd`, `ibv_create_comp_channel`, `ibv_create_cq`,
 * `ibv_create_qp`, `ibv_reg_mr`, and `ibv_modify_qp` to INIT).
 *
 * @throws RdmaError of the verbs; what was opened until then is closed.
 */
export async function openEndpoint(device: Device, options: EndpointOptions = {}): Promise<Endpoint> {
  const { type = QpType.RC, access = 0, path = {} } = options;
  if (access >>> 0 !== access || (access & ~REMOTE) !== 0) {
    throw usageError('access takes REMOTE_WRITE, REMOTE_READ and REMOTE_ATOMIC of AccessFlags only');
  }
  const sgid = await chooseGid(device, options);
  const closing = new ClosingOrder();
  try {
    const pd = options.pd ?? closing.add(await device.allocPd());
    const channel = closing.add(await device.createCompletionChannel());
    const createCq = async (): Promise<CompletionQueue> =>
      closing.add(await device.createCq({ capacity: cqCapacity(device, options), channel }));
    const recvCq = await createCq();
    const sendCq = options.separateCqs === true ? await createCq() : recvCq;
    const { memory = 0, capacity, srq, signalAll } = options;
    const region = memory === 0 ? null : closing.add(await pd.regMr(bytesOf(memory), LOCAL_WRITE | access));
    const qp = closing.add(
      await pd.createQp({
        type,
        sendCq,
        recvCq,
        ...(capacity === undefined ? {} : { capacity }),
        ...(srq === undefined ? {} : { srq }),
        ...(signalAll === undefined ? {} : { signalAll }),
      }),
    );
    await toInit(qp, access, path);
    const address = await describe(device, qp, sgid, options);
    return new Endpoint({ device, pd, channel, sendCq, recvCq, qp, region, address, sgid }, options, closing);
  } catch (error) {
    await closing.close().catch(() => {});
    throw error;
  }
}

export class Endpoint implements AsyncDisposable {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  /** The same queue, unless `separateCqs` was asked for. */
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly qp: QueuePair;
  /** What the peer must know to reach this end. */
  readonly address: PeerPath;
  /** The entry of the device's GID table that this end sends from. */
  readonly gid: GidEntry;
  readonly waiter: CompletionWaiter;
  readonly #region: MemoryRegion | null;
  readonly #path: PathOptions;
  readonly #closing: ClosingOrder;

  /** @internal Made by `openEndpoint`. */
  constructor(parts: Parts, options: EndpointOptions, closing: ClosingOrder) {
    this.device = parts.device;
    this.pd = parts.pd;
    this.channel = parts.channel;
    this.sendCq = parts.sendCq;
    this.recvCq = parts.recvCq;
    this.qp = parts.qp;
    this.address = parts.address;
    this.gid = parts.sgid;
    this.#region = parts.region;
    this.#path = options.path ?? {};
    this.#closing = closing;
    const { pollsPerTurn } = parts.device.attributes;
    this.waiter = new CompletionWaiter({ ...parts, pollsPerTurn }, options.wait);
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT where the endpoint was opened without memory. */
  get memory(): MemoryRegion {
    if (this.#region === null) throw usageError('the endpoint has no memory; give openEndpoint some');
    return this.#region;
  }

  /**
   * Takes the queue pair to RTS (`ibv_modify_qp` to RTR and RTS). `options` go before those of `openEndpoint`. For a UD
   * endpoint, which sends to address handles, `peer` is `null`. `own`: what the peer was told of this end, where that was
   * not `address`.
   *
   * @throws RdmaError of `QueuePair.modify`.
   */
  async connect(
    peer: PeerPath | null,
    options: PathOptions = {},
    own: OwnPath = this.address,
  ): Promise<void> {
    const path = { ...this.#path, gidIndex: this.gid.index, ...options };
    await toRtr(this.qp, own, peer, path);
    await toRts(this.qp, own, peer, path);
  }

  /** Registers more memory (`ibv_reg_mr`), which is deregistered with the endpoint. `access`: all `AccessFlags`. */
  async register(memory: MemorySource, access: number = LOCAL_WRITE): Promise<MemoryRegion> {
    return this.keep(await this.pd.regMr(bytesOf(memory), access));
  }

  /** Closes `object` with the endpoint: after the queue pair, and before what was kept earlier. */
  keep<T extends AsyncDisposable>(object: T): T {
    return this.#closing.keep(object);
  }

  /** As {@link CompletionWaiter.until}. */
  until(isDone: () => boolean, take: TakeCompletion): Promise<void> | undefined {
    return this.waiter.until(isDone, take);
  }

  /** As {@link CompletionWaiter.take}. */
  take(into: readonly WorkCompletion[], timeoutMillis?: number): Promise<number> {
    return this.waiter.take(into, timeoutMillis);
  }

  /**
   * Closes all of it; requests that have not completed vanish. Idempotent.
   *
   * @throws RdmaError the first failure, after the rest was tried. Then it may be called again.
   */
  async close(): Promise<void> {
    this.waiter.close();
    await this.#closing.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What has to be closed: last opened, first closed, but for what is kept, which comes after the queue pair. */
class ClosingOrder {
  readonly #opened: AsyncDisposable[] = [];
  readonly #kept: AsyncDisposable[] = [];
  #closing: Promise<void> | undefined;

  add<T extends AsyncDisposable>(object: T): T {
    this.#opened.push(object);
    return object;
  }

  keep<T extends AsyncDisposable>(object: T): T {
    this.#kept.push(object);
    return object;
  }

  /** Once; again only after it failed. */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const [last, ...others] = this.#opened.toReversed();
    const failures: unknown[] = [];
    for (const object of [...(last === undefined ? [] : [last]), ...this.#kept.toReversed(), ...others]) {
      try {
        await object[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Before anything is made on the device. */
async function chooseGid(device: Device, { near, path }: EndpointOptions): Promise<GidEntry> {
  const { port = PATH_DEFAULTS.port, gidIndex } = path ?? {};
  if (gidIndex === undefined) return ownGid(device, near, port);
  const found = (await device.queryGids(port)).find(({ index }) => index === gidIndex);
  if (found !== undefined) return found;
  throw usageError(`${device.name} has no GID with the index ${gidIndex} at port ${port}; see queryGids`);
}

async function describe(
  device: Device,
  qp: QueuePair,
  { gid }: GidEntry,
  options: EndpointOptions,
): Promise<PeerPath> {
  const { udpPort, activeMtu } = await device.queryPort(options.path?.port);
  const { maxQpRdAtom, maxQpInitRdAtom } = device.attributes;
  const { mtu = activeMtu, psn = toPsn(randomInt(PSN_MASK + 1)) } = options;
  const rdAtomic = options.rdAtomic ?? Math.min(DEFAULT_RD_ATOMIC, maxQpRdAtom, maxQpInitRdAtom);
  return { gid, udpPort, qpn: qp.qpn, psn, mtu: mtu < activeMtu ? mtu : activeMtu, rdAtomic };
}

/** Enough for every request that can be under way. */
function cqCapacity({ attributes }: Device, { cqCapacity: wanted, capacity, srq }: EndpointOptions): number {
  if (wanted !== undefined) return wanted;
  const { maxSendWr = DEFAULT_WR, maxRecvWr = srq?.maxWr ?? DEFAULT_WR } = capacity ?? {};
  return Math.min(maxSendWr + maxRecvWr, attributes.maxCqe);
}

/** What `createQp` takes as default. */
const DEFAULT_WR = 128;

const bytesOf = (memory: MemorySource): Exclude<MemorySource, number> =>
  typeof memory === 'number' ? new Uint8Array(memory) : memory;
