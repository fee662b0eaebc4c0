/**
 * Serves disks to hosts over NVMe over Fabrics: `serveNvme` listens by rdma_cm, gives every host that comes its controller and its
 * queues, and takes them back.
 *
 * Invariants: everything that a host has is bounded and ends with it, at the latest when its keep-alive timer expires; a failure of
 * one host's queues is no other host's; when `close` resolves, no backend is in use and the device is as before.
 */
import { EventEmitter } from 'node:events';
import { type CmServer, listen } from '../../cm/cm-server.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { CmAddress } from '../../verbs/connection-manager.js';
import type { Device, ProtectionDomain } from '../../verbs/device.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { Command } from '../wire/command.js';
import type { ConnectData } from '../wire/connect-data.js';
import type { DiscoveryEntry } from '../wire/log-pages.js';
import { DISCOVERY_NQN } from '../wire/opcodes.js';
import { DO_NOT_RETRY, nvmeStatusName, Status } from '../wire/status.js';
import type { AdminFacts } from './admin-commands.js';
import { BufferPool, POOL_BYTES } from './buffer-pool.js';
import type { Controller } from './controller.js';
import { TargetCounters } from './counters.js';
import { HostWatch } from './host-watch.js';
import { flushAll } from './io-work.js';
import type { TargetLimits } from './limits.js';
import { checkServe, limitsOf, type ServeNvmeOptions } from './options.js';
import { QueueAcceptance } from './queue-acceptance.js';
import { type ConnectDecision, Registry } from './registry.js';
import type { HostQueue, TargetServices } from './services.js';
import { DISCOVERY_SUBSYSTEM, isAllowed, makeSubsystem, type Subsystem } from './subsystem.js';

const DEFAULT_PORT = 4420;
const MODEL = 'queuepair';
const FIRMWARE = '1';

/** A host with its controller, as it says itself: nobody proves these names. */
export interface NvmeHost {
  readonly hostNqn: string;
  readonly hostId: string;
  readonly subsystem: string;
  readonly controllerId: number;
  readonly address: CmAddress;
}

export interface NvmeTargetEvents {
  /** A host has connected its admin queue. */
  connect: [host: NvmeHost];
  /** Its controller is gone, with all of its queues. */
  disconnect: [host: NvmeHost, reason: string];
  /** A queue, or a Connect command, that was refused. */
  refused: [address: CmAddress, reason: string];
  /** A backend failed; the host's command failed with it. */
  backendError: [error: unknown, host: NvmeHost];
  close: [];
}

/**
 * Serves the namespaces of `subsystems` until it is closed. Whoever reaches the device can ask for them by name: NVMe over RDMA
 * as it is spoken here proves nobody's name and hides nothing.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_ADDRESS, ERR_RDMA_NOT_SUPPORTED, ERR_RDMA_NO_MEMORY, each with what to do.
 */
export async function serveNvme(options: ServeNvmeOptions): Promise<NvmeTarget> {
  checkServe(options);
  const { device, host, port = DEFAULT_PORT } = options;
  const pd = await device.allocPd();
  try {
    const region = await pd.regMr(new Uint8Array(POOL_BYTES), AccessFlags.LOCAL_WRITE);
    try {
      const server = await listen(device, { port, ...(host === undefined ? {} : { host }) });
      return new NvmeTarget(options, { device, pd, region, server });
    } catch (error) {
      await region.close();
      throw error;
    }
  } catch (error) {
    await pd.close();
    throw error;
  }
}

interface TargetParts {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly region: MemoryRegion;
  readonly server: CmServer;
}

export class NvmeTarget extends EventEmitter<NvmeTargetEvents> implements AsyncDisposable {
  readonly #parts: TargetParts;
  readonly #limits: TargetLimits;
  readonly #subsystems: ReadonlyMap<string, Subsystem>;
  readonly #registry: Registry;
  readonly #counters = new TargetCounters();
  readonly #pool: BufferPool;
  readonly #queues = new Set<HostQueue>();
  /** Their Connect has come, and waits for what the host left behind. */
  readonly #connecting = new Set<HostQueue>();
  readonly #hosts = new Map<Controller, NvmeHost>();
  /** Why a controller ends, and all of its queues. */
  readonly #reasons = new Map<Controller, string>();
  readonly #acceptance: QueueAcceptance;
  readonly #watch: HostWatch;
  #closing: Promise<void> | undefined;

  /** @internal Made by `serveNvme`. */
  constructor(options: ServeNvmeOptions, parts: TargetParts) {
    super();
    this.#parts = parts;
    this.#limits = limitsOf(options);
    this.#pool = new BufferPool(parts.region);
    const subsystems = Object.entries(options.subsystems).map(([nqn, { namespaces, allowedHosts }]) =>
      makeSubsystem(nqn, namespaces, allowedHosts),
    );
    this.#subsystems = new Map([DISCOVERY_SUBSYSTEM, ...subsystems].map((one) => [one.nqn, one]));
    this.#registry = new Registry(this.#subsystems, this.#limits);
    const { device, pd } = parts;
    this.#acceptance = new QueueAcceptance({
      ...{ device, pd, limits: this.#limits, queues: this.#queues, services: this.#makeServices() },
      onRefused: (address, reason) => this.#tell('refused', address, reason),
    });
    this.#watch = new HostWatch({
      counters: this.#counters,
      queues: this.#queues,
      controllers: () => this.#registry.controllers,
      isConnecting: (queue) => this.#connecting.has(queue),
      onSilent: (controller) => {
        this.#registry.remove(controller);
        this.#endController(controller, 'the keep-alive timer expired');
      },
    });
    parts.server.on('request', (request) => this.#acceptance.onRequest(request));
    parts.server.on('close', () => void this.close().catch(() => {}));
  }

  /** Where it listens; the port is of rdma_cm. */
  get address(): CmAddress {
    return this.#parts.server.address;
  }

  /** Hosts that are connected. */
  get hosts(): readonly NvmeHost[] {
    return [...this.#hosts.values()];
  }

  /** What it has done, and what it holds. */
  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counters,
      controllers: this.#registry.size,
      queues: this.#queues.size,
      buffersInUse: this.#pool.used,
    };
  }

  /** Takes no more hosts, ends the queues of all, and waits until backends are done with them. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { server, region, pd } = this.#parts;
    this.#watch.stop();
    this.#acceptance.close();
    await server.close();
    for (const controller of this.#hosts.keys()) this.#reasons.set(controller, 'the target was closed');
    await Promise.all([...this.#queues].map((queue) => queue.end('the target was closed')));
    await this.#acceptance.settled();
    await Promise.all([...this.#queues].map((queue) => queue.end('the target was closed')));
    await region.close();
    await pd.close();
    this.#tell('close');
  }

  #makeServices(): TargetServices {
    return {
      pool: this.#pool,
      counters: this.#counters,
      nowMillis: () => performance.now(),
      connect: (queue, command, data) => this.#connect(queue, command, data),
      adminFacts: (queue) => this.#adminFacts(queue),
      shutDown: (controller) => void this.#shutDown(controller),
      disable: (controller) => this.#endIoQueues(controller, 'the host disabled its controller'),
      onFatal: (queue, reason) => this.#onFatal(queue, reason),
      onBackendError: (queue, error) => this.#onBackendError(queue, error),
      onQueueEnding: (queue, reason) => this.#onQueueEnding(queue, reason),
      onQueueEnded: (queue) => this.#onQueueEnded(queue),
    };
  }

  /**
   * A host that comes again must not be overtaken by what its former queues left in a backend. A controller that still lives may be the
   * former one, whose end has not arrived yet, or another path of the host: it goes on, and what backends have of it now is waited for.
   */
  async #leftByHost(queue: HostQueue, { hostId, subsystemNqn }: ConnectData): Promise<void> {
    const former = [...this.#queues].filter(
      ({ controller }) => controller?.hostId === hostId && controller.subsystem.nqn === subsystemNqn,
    );
    const ending = former.filter((one) => one.isEnding).map((one) => one.end(''));
    const living = queue.qid === 0 ? former.map((one) => one.leftBackends()) : [];
    await Promise.all([...ending, ...living]);
  }

  async #connect(queue: HostQueue, command: Command, data: ConnectData): Promise<ConnectDecision> {
    const beginMillis = performance.now();
    this.#connecting.add(queue);
    try {
      await this.#leftByHost(queue, data);
    } finally {
      this.#connecting.delete(queue);
      queue.sinceMillis += performance.now() - beginMillis;
    }
    if (queue.isEnding) return { isAccepted: false, status: Status.COMMAND_SEQUENCE_ERROR, result: 0 };
    const { qid, entries } = queue;
    const decision = this.#registry.connect(command, data, { qid, entries }, performance.now());
    const address = queue.connection?.remote ?? NOWHERE;
    if (!decision.isAccepted) {
      this.#counters.connectsRefused++;
      this.#tell(
        'refused',
        address,
        `Connect was refused: ${nvmeStatusName(decision.status & ~DO_NOT_RETRY)}`,
      );
      return decision;
    }
    const { controller } = decision;
    queue.controller = controller;
    if (qid !== 0) return decision;
    const { hostNqn, hostId, subsystem, id } = controller;
    const host = { hostNqn, hostId, subsystem: subsystem.nqn, controllerId: id, address };
    this.#hosts.set(controller, host);
    this.#tell('connect', host);
    return decision;
  }

  #adminFacts(queue: HostQueue): AdminFacts {
    const { controller, connection } = queue;
    const { bytesRead, bytesWritten, reads, writes } = this.#counters;
    return {
      model: MODEL,
      firmware: FIRMWARE,
      health: () => ({ bytesRead, bytesWritten, reads, writes }),
      discovery: () => ({
        generation: 1,
        entries: this.#entriesFor(controller?.hostNqn ?? '', connection?.local.host ?? ''),
      }),
    };
  }

  /** At the address by which the host has come. */
  #entriesFor(hostNqn: string, host: string): DiscoveryEntry[] {
    const { port } = this.address;
    return [...this.#subsystems.values()]
      .filter((subsystem) => isAllowed(subsystem, hostNqn))
      .map(({ nqn }) => ({ nqn, host, port, isDiscovery: nqn === DISCOVERY_NQN }));
  }

  async #shutDown(controller: Controller): Promise<void> {
    try {
      await flushAll(controller.subsystem);
      controller.shutDownDone();
    } catch (error) {
      controller.fail();
      this.#tellBackendError(controller, error);
    }
  }

  #endIoQueues(controller: Controller, reason: string): void {
    for (const queue of this.#queues) {
      if (queue.controller === controller && queue.qid !== 0) void queue.end(reason);
    }
  }

  #endController(controller: Controller, reason: string): void {
    if (!this.#reasons.has(controller)) this.#reasons.set(controller, reason);
    for (const queue of this.#queues) if (queue.controller === controller) void queue.end(reason);
  }

  #onFatal(queue: HostQueue, reason: string): void {
    if (queue.controller === undefined) void queue.end(reason);
    else {
      queue.controller.fail();
      this.#endController(queue.controller, reason);
    }
  }

  #onBackendError({ controller }: HostQueue, error: unknown): void {
    if (controller !== undefined) this.#tellBackendError(controller, error);
  }

  #tellBackendError(controller: Controller, error: unknown): void {
    this.#counters.backendErrors++;
    const host = this.#hosts.get(controller);
    if (host !== undefined) this.#tell('backendError', error, host);
  }

  /** What a listener throws is reported as an exception that nobody catches, and changes nothing here. */
  #tell<Name extends keyof NvmeTargetEvents>(name: Name, ...args: NvmeTargetEvents[Name]): void {
    try {
      (this as EventEmitter).emit(name, ...args);
    } catch (error) {
      void Promise.reject(error);
    }
  }

  /** A controller lives as long as its admin queue. */
  #onQueueEnding({ qid, controller, connection }: HostQueue, reason: string): void {
    if (controller === undefined) {
      this.#tell('refused', connection?.remote ?? NOWHERE, `a queue ended before Connect: ${reason}`);
    } else if (qid === 0) {
      this.#registry.remove(controller);
      this.#endController(controller, reason);
    }
  }

  #onQueueEnded(queue: HostQueue): void {
    this.#queues.delete(queue);
    const { controller } = queue;
    if (controller === undefined) return;
    controller.queueIds.delete(queue.qid);
    const host = this.#hosts.get(controller);
    const isLast = ![...this.#queues].some((other) => other.controller === controller);
    if (host === undefined || !isLast || !this.#reasons.has(controller)) return;
    this.#hosts.delete(controller);
    const reason = this.#reasons.get(controller) ?? '';
    this.#reasons.delete(controller);
    this.#tell('disconnect', host, reason);
  }
}

const NOWHERE: CmAddress = { host: '', port: 0 };
