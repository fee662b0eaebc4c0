/**
 * Uses disks of NVMe targets: `connectNvme` brings a controller up, whose namespaces are read and written; `discoverNvme` asks what there is.
 *
 * Invariants: a controller ends once, for one reason; what was under way then rejects, as of unknown outcome where it may have changed
 * something. Memory of the program is copied: the target reaches memory of the queues alone.
 */
import type { Device } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import type { ControllerPage } from '../wire/identify.js';
import type { DiscoveredSubsystem } from '../wire/log-pages.js';
import { DISCOVERY_NQN } from '../wire/opcodes.js';
import { type AdminOptions, connectQueue, HostAdmin, usableCapsuleBytes } from './admin.js';
import { notDurable } from './host-errors.js';
import { HostQueue, type HostQueueOptions } from './host-queue.js';
import { NvmeNamespace } from './namespace.js';
import {
  type ConnectNvmeOptions,
  checkConnect,
  checkDiscover,
  type DiscoverNvmeOptions,
  identityOf,
} from './options.js';

const DEFAULT_PORT = 4420;
const DEFAULT_TIMEOUT_MILLIS = 10_000;
const DEFAULT_KEEP_ALIVE_MILLIS = 5000;
const DEFAULT_SHUTDOWN_MILLIS = 5000;
/** A keep-alive may take so long, however often they are sent. */
const MIN_ANSWER_MILLIS = 1000;
const GRACE_MILLIS = 250;
const DEFAULT_QUEUE_ENTRIES = 32;
const DEFAULT_CHUNK_BYTES = 128 << 10;

/** What the controller says of itself. */
export interface NvmeIdentity {
  readonly serialNumber: string;
  readonly model: string;
  readonly firmware: string;
}

/**
 * Connects to a subsystem. The target proves nothing of itself, and whoever reads the network reads the data.
 *
 * @throws RdmaError of `connect` of rdma_cm; ERR_RDMA_NVME when the target refuses, with its status; ERR_RDMA_PROTOCOL.
 */
export async function connectNvme(options: ConnectNvmeOptions): Promise<NvmeController> {
  checkConnect(options);
  const {
    device,
    nqn,
    queues = 1,
    queueEntries = DEFAULT_QUEUE_ENTRIES,
    chunkBytes = DEFAULT_CHUNK_BYTES,
  } = options;
  const { keepAliveMillis = DEFAULT_KEEP_ALIVE_MILLIS, shutdownMillis = DEFAULT_SHUTDOWN_MILLIS } = options;
  const to = placeOf(options);
  const { timeoutMillis = DEFAULT_TIMEOUT_MILLIS } = options;
  const identity = identityOf(options);
  const who = { to, nqn, identity, keepAliveMillis, timeoutMillis, shutdownMillis };
  const admin = await HostAdmin.open(device, who);
  const opened: HostQueue[] = [];
  try {
    const page = await admin.identify();
    const count = await admin.grantedQueues(queues);
    const io = {
      entries: Math.min(queueEntries, admin.maxEntries),
      chunkBytes: page.maxTransferBytes === 0 ? chunkBytes : Math.min(chunkBytes, page.maxTransferBytes),
      inCapsuleBytes: usableCapsuleBytes(page.inCapsuleBytes),
      to,
    };
    for (let qid = 1; qid <= count; qid++) {
      opened.push(await openIo(device, { ...io, qid }, who, admin.controllerId));
    }
    const namespaces = await admin.namespaces();
    for (const { id, blockBytes } of namespaces) {
      if (blockBytes > io.chunkBytes)
        throw usageError(`namespace ${id} has blocks of ${blockBytes} bytes, more than chunkBytes`);
    }
    admin.connected();
    return new NvmeController({ admin, queues: opened, page, namespaces, keepAliveMillis });
  } catch (error) {
    for (const queue of opened) await queue.close();
    await admin.abandon();
    throw error;
  }
}

/** What a target serves to this host, as its discovery controller says. @throws RdmaError as `connectNvme`. */
export async function discoverNvme(options: DiscoverNvmeOptions): Promise<DiscoveredSubsystem[]> {
  checkDiscover(options);
  const admin = await HostAdmin.open(options.device, {
    to: placeOf(options),
    nqn: DISCOVERY_NQN,
    identity: identityOf(options),
    keepAliveMillis: 0,
    timeoutMillis: options.timeoutMillis ?? DEFAULT_TIMEOUT_MILLIS,
    shutdownMillis: DEFAULT_SHUTDOWN_MILLIS,
  });
  try {
    return await admin.discover();
  } finally {
    await admin.abandon();
  }
}

function placeOf(options: DiscoverNvmeOptions): HostQueueOptions['to'] {
  const { host, port = DEFAULT_PORT, udpPort, timeoutMillis, signal } = options;
  return {
    host,
    port,
    ...(udpPort === undefined ? {} : { udpPort }),
    ...(timeoutMillis === undefined ? {} : { timeoutMillis }),
    ...(signal === undefined ? {} : { signal }),
  };
}

async function openIo(
  device: Device,
  options: HostQueueOptions,
  who: AdminOptions,
  controllerId: number,
): Promise<HostQueue> {
  const queue = await HostQueue.open(device, options);
  try {
    await connectQueue(queue, who, controllerId);
    return queue;
  } catch (error) {
    await queue.close();
    throw error;
  }
}

interface ControllerParts {
  readonly admin: HostAdmin;
  readonly queues: readonly HostQueue[];
  readonly page: ControllerPage;
  readonly namespaces: readonly { id: number; blocks: number; blockBytes: number }[];
  readonly keepAliveMillis: number;
}

export class NvmeController implements AsyncDisposable {
  readonly identity: NvmeIdentity;
  readonly namespaces: readonly NvmeNamespace[];
  /** Why it ended. Never rejects. */
  readonly closed: Promise<string>;
  readonly #admin: HostAdmin;
  readonly #queues: readonly HostQueue[];
  readonly #timer: NodeJS.Timeout | undefined;
  #tellClosed: (reason: string) => void = () => {};
  /** When a keep-alive left that is not answered yet. */
  #askedMillis: number | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  /** Why nobody knows whether the target has made everything durable. */
  #failure: unknown;
  #closing: Promise<void> | undefined;

  /** @internal Made by `connectNvme`. */
  constructor({ admin, queues, page, namespaces, keepAliveMillis }: ControllerParts) {
    const { serialNumber, model, firmware, optionalCommands } = page;
    this.identity = { serialNumber, model, firmware };
    this.#admin = admin;
    this.#queues = queues;
    const choose = (): HostQueue => queues.reduce((best, queue) => (queue.load < best.load ? queue : best));
    this.namespaces = namespaces.map((one) => new NvmeNamespace({ ...one, optionalCommands, choose }));
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    for (const { ended } of [admin.queue, ...queues]) ended.then((reason) => this.#end(reason));
    // Half of the time, so that one that is late is not the end.
    if (keepAliveMillis > 0) {
      const everyMillis = keepAliveMillis / 2;
      this.#timer = setInterval(() => this.#keepAlive(everyMillis), everyMillis);
    }
  }

  /** A target that does not answer the last one has failed. */
  #keepAlive(everyMillis: number): void {
    const nowMillis = performance.now();
    const asked = this.#askedMillis;
    if (asked !== undefined) {
      // A timer may come a little before its time.
      if (nowMillis - asked < Math.max(everyMillis, MIN_ANSWER_MILLIS) - 1) return;
      // When this program paused, the answer may be here, and nobody has taken it yet.
      this.#graceTimer ??= setTimeout(() => {
        this.#graceTimer = undefined;
        if (this.#askedMillis === asked) void this.#end('the target did not answer a keep-alive');
      }, GRACE_MILLIS);
      return;
    }
    this.#askedMillis = nowMillis;
    this.#admin.keepAlive().then(
      () => {
        this.#askedMillis = undefined;
      },
      (error: Error) => this.#end(error.message),
    );
  }

  get controllerId(): number {
    return this.#admin.controllerId;
  }

  /** The namespace with this number. @throws RdmaError ERR_RDMA_INVALID_ARGUMENT where there is none. */
  namespace(id: number): NvmeNamespace {
    const found = this.namespaces.find((one) => one.id === id);
    if (found !== undefined) return found;
    throw usageError(
      `there is no namespace ${id}; there are: ${this.namespaces.map((one) => one.id).join(', ')}`,
    );
  }

  /**
   * Has the target make durable what was written, and leaves; when it settles, nothing is left at this end. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_OUTCOME_UNKNOWN where something was written since the last flush, and the target is gone, or does not
   *   say within `shutdownMillis` that it is durable.
   */
  async close(): Promise<void> {
    await this.#end('this end closed it');
    if (this.#failure !== undefined && this.namespaces.some((one) => one.isDirty))
      throw notDurable(this.#failure);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(reason: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #close(reason: string): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#graceTimer);
    await Promise.all(this.#queues.map((queue) => queue.close()));
    await this.#admin.close().catch((error: unknown) => {
      this.#failure = error;
    });
    this.#tellClosed(reason);
  }
}
