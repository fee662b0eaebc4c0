/**
 * Uses disks of NVMe targets: `connectNvme` brings a controller up, whose namespaces are read and written; `discoverNvme` asks what there is.
 *
 * Invariants: a controller ends once, for one reason; what was under way then rejects, as of unknown outcome where it may have changed
 * something. Memory of the program is copied: the target reaches memory of the queues alone.
 */
import { EventEmitter } from 'node:events';
import { type RdmaError, usageError } from '../../verbs/errors.js';
import type { DiscoveredSubsystem } from '../wire/log-pages.js';
import { DISCOVERY_NQN } from '../wire/opcodes.js';
import { HostAdmin } from './admin.js';
import { CommandRouter } from './command-router.js';
import { cacheLost, notDurable } from './host-errors.js';
import type { HostQueueOptions } from './host-queue.js';
import { NvmeNamespace } from './namespace.js';
import { checkSame, NvmeSession, type SessionOptions } from './nvme-session.js';
import {
  type ConnectNvmeOptions,
  checkConnect,
  checkDiscover,
  type DiscoverNvmeOptions,
  identityOf,
  policyOf,
  reconnectOf,
} from './options.js';
import { SessionKeeper } from './session-keeper.js';

const DEFAULT_PORT = 4420;
const DEFAULT_TIMEOUT_MILLIS = 10_000;
const DEFAULT_KEEP_ALIVE_MILLIS = 5000;
const DEFAULT_SHUTDOWN_MILLIS = 5000;
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
  const session = sessionOptions(options);
  return new NvmeController(options, session, await NvmeSession.open(session));
}

function sessionOptions(options: ConnectNvmeOptions): SessionOptions {
  return {
    device: options.device,
    to: placeOf(options),
    nqn: options.nqn,
    // Once for all controllers: the target knows by it who comes again.
    identity: identityOf(options),
    keepAliveMillis: options.keepAliveMillis ?? DEFAULT_KEEP_ALIVE_MILLIS,
    timeoutMillis: options.timeoutMillis ?? DEFAULT_TIMEOUT_MILLIS,
    shutdownMillis: options.shutdownMillis ?? DEFAULT_SHUTDOWN_MILLIS,
    queues: options.queues ?? 1,
    queueEntries: options.queueEntries ?? DEFAULT_QUEUE_ENTRIES,
    chunkBytes: options.chunkBytes ?? DEFAULT_CHUNK_BYTES,
  };
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

export interface NvmeControllerEvents {
  /** The controller is lost, and attempts to get another one follow: calls wait for it. */
  reconnecting: [reason: string];
  /** An attempt that failed; `closed` tells when it was the last. */
  attemptFailed: [error: RdmaError, attempt: number];
  /** There is a controller again, after so many attempts. */
  reconnected: [attempts: number];
}

export class NvmeController extends EventEmitter<NvmeControllerEvents> implements AsyncDisposable {
  readonly namespaces: readonly NvmeNamespace[];
  /** Why it ended. Never rejects. */
  readonly closed: Promise<string>;
  readonly #keeper: SessionKeeper<NvmeSession>;
  #session: NvmeSession;
  #isConnected = true;

  /** @internal Made by `connectNvme`. */
  constructor(options: ConnectNvmeOptions, sessionOptions: SessionOptions, session: NvmeSession) {
    super();
    const { facts } = session;
    const { repeatWrites = false, signal } = reconnectOf(options.reconnect) ?? {};
    const router = new CommandRouter({ chunkBytes: facts.chunkBytes, repeatsWrites: repeatWrites });
    const { optionalCommands } = facts.page;
    this.namespaces = facts.namespaces.map((one) => new NvmeNamespace({ ...one, optionalCommands, router }));
    this.#session = session;
    let tellClosed = (_: string): void => {};
    this.closed = new Promise((resolve) => {
      tellClosed = resolve;
    });
    this.#keeper = new SessionKeeper({
      session,
      router,
      policy: policyOf(options.reconnect),
      open: (giveUp) => openAgain(sessionOptions, session, giveUp),
      events: {
        onLost: (reason) => this.#onLost(reason),
        onAttemptFailed: (error, attempt) => this.#tell('attemptFailed', error, attempt),
        onBack: (next, attempts) => this.#onBack(next, attempts),
        onOver: (reason) => {
          this.#isConnected = false;
          signal?.removeEventListener('abort', forbid);
          tellClosed(reason);
        },
      },
    });
    const forbid = (): void => this.#keeper.forbid('the program gave up reconnecting');
    if (signal?.aborted === true) forbid();
    else signal?.addEventListener('abort', forbid, { once: true });
  }

  get identity(): NvmeIdentity {
    const { serialNumber, model, firmware } = this.#session.facts.page;
    return { serialNumber, model, firmware };
  }

  /** Of the controller that is there, or was there last. */
  get controllerId(): number {
    return this.#session.controllerId;
  }

  /** Whether there is a controller now: calls wait while there is none. */
  get isConnected(): boolean {
    return this.#isConnected;
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
   *   say within `shutdownMillis` that it is durable; also when the controller was lost since then, whoever came after it.
   */
  async close(): Promise<void> {
    await this.#keeper.close('this end closed it');
    const { failure } = this.#keeper;
    if (failure !== undefined && this.namespaces.some((one) => one.isDirty)) throw notDurable(failure);
    if (this.namespaces.some((one) => one.isDoubtful)) throw cacheLost();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onLost(reason: string): void {
    this.#isConnected = false;
    for (const namespace of this.namespaces) namespace.controllerLost();
    this.#tell('reconnecting', reason);
  }

  #onBack(session: NvmeSession, attempts: number): void {
    this.#session = session;
    this.#isConnected = true;
    this.#tell('reconnected', attempts);
  }

  /** What a listener throws is reported as an exception that nobody catches, and changes nothing here. */
  #tell<Name extends keyof NvmeControllerEvents>(name: Name, ...args: NvmeControllerEvents[Name]): void {
    try {
      (this as EventEmitter).emit(name, ...args);
    } catch (error) {
      void Promise.reject(error);
    }
  }
}

/** The signal of the first connecting counts no more; this one gives an attempt up. */
async function openAgain(
  options: SessionOptions,
  { facts }: NvmeSession,
  signal: AbortSignal,
): Promise<NvmeSession> {
  const session = await NvmeSession.open({ ...options, to: { ...options.to, signal } });
  try {
    checkSame(facts, session.facts);
    return session;
  } catch (error) {
    await session.abandon();
    throw error;
  }
}
