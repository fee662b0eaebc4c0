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
import { connectQueue, HostAdmin, usableCapsuleBytes } from './admin.js';
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
  const { keepAliveMillis = DEFAULT_KEEP_ALIVE_MILLIS } = options;
  const identity = identityOf(options);
  const to = placeOf(options);
  const { timeoutMillis = DEFAULT_TIMEOUT_MILLIS } = options;
  const admin = await HostAdmin.open(device, { to, nqn, identity, keepAliveMillis, timeoutMillis });
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
      opened.push(
        await openIo(device, { ...io, qid }, { nqn, identity, keepAliveMillis }, admin.controllerId),
      );
    }
    const namespaces = await admin.namespaces();
    return new NvmeController({ admin, queues: opened, page, namespaces, keepAliveMillis });
  } catch (error) {
    for (const queue of opened) await queue.close();
    await admin.close();
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
  });
  try {
    return await admin.discover();
  } finally {
    await admin.close();
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
  who: Parameters<typeof connectQueue>[1],
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
      this.#timer = setInterval(() => {
        admin.keepAlive().catch((error: Error) => this.#end(error.message));
      }, keepAliveMillis / 2);
    }
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

  /** Has the target make durable what was written, and leaves. Idempotent. */
  close(): Promise<void> {
    return this.#end('this end closed it');
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
    await Promise.all(this.#queues.map((queue) => queue.close()));
    await this.#admin.close();
    this.#tellClosed(reason);
  }
}
