/**
 * A device of the operating system, through libibverbs: an RNIC, or the kernel's soft RoCE (rdma_rxe). The same verbs as
 * those of the embedded device; what the hardware lacks is said by the attributes.
 *
 * Invariants: control verbs run on threads of the pool, one after the other on an object; posting and polling call the
 * device's own functions and allocate nothing. An object exists for the device until its `close` has resolved.
 */

import type { VerbsAddon } from '../native/verbs-addon.js';
import { ProcessHold } from '../process-hold.js';
import type { AddressVector } from '../verbs/address-handle.js';
import type { AsyncEvent } from '../verbs/async-event.js';
import type { CompletionQueueOptions } from '../verbs/completion-queue.js';
import type { ConnectionManager } from '../verbs/connection-manager.js';
import type {
  CloseOptions,
  DeviceAttributes,
  DeviceCensus,
  GidEntry,
  PortAttributes,
} from '../verbs/device.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { Listeners } from '../verbs/listeners.js';
import { LiveObjects } from '../verbs/live-objects.js';
import { foreignChannel, wrongCqCapacity } from '../verbs/misuse.js';
import { makeObject, type ObjectKind, ObjectLife, UNCOUNTED } from '../verbs/object-life.js';
import type { SharedReceiveQueue } from '../verbs/queue-pair.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import { asyncEventOf } from './async-events.js';
import { type DeviceFacts, probeInline, queryFacts, queryPortFacts, readGids } from './device-facts.js';
import { chooseGid, parseDgid, ROCE_UDP_PORT } from './gid-table.js';
import { IbverbsChannel, IbverbsCq } from './ibverbs-cq.js';
import { IbverbsPd } from './ibverbs-pd.js';
import { listIbverbsDevices, verbsLibrary } from './library.js';
import { portCounters } from './port-counters.js';
import { RdmacmManager } from './rdmacm-manager.js';
import { type RequestBuffer, requestBuffer } from './request-buffer.js';
import type { ListedCq, ListedQp, VerbsContext } from './verbs-context.js';
import { Errno, verbError } from './verbs-error.js';

export class IbverbsDevice implements VerbsContext {
  readonly kind = 'ibverbs';
  readonly name: string;
  readonly attributes: DeviceAttributes;
  readonly addon: VerbsAddon;
  readonly buffer: RequestBuffer;
  readonly live = new LiveObjects();
  /** By handle, for events. */
  readonly cqs = new Map<number, ListedCq>();
  readonly qpHandles = new Map<number, ListedQp>();
  readonly srqHandles = new Map<number, SharedReceiveQueue>();
  /** By number, for completions. */
  readonly qps = new Map<number, ListedQp>();
  readonly #handle: number;
  readonly #facts: DeviceFacts;
  readonly #life: ObjectLife;
  readonly #hold = new ProcessHold();
  readonly #listeners = new Listeners<AsyncEvent>();
  #manager: Promise<RdmacmManager> | undefined;

  /**
   * @throws RdmaError ERR_RDMA_NO_LIBRARY without libibverbs, ERR_RDMA_NO_DEVICE when there is no such device or no
   * permission to use it.
   */
  static async open(name: string): Promise<IbverbsDevice> {
    const addon = verbsLibrary();
    let opened: IbverbsDevice | undefined;
    const handle = await addon.open(name, (type, subject) => opened?.onAsync(type, subject));
    if (handle < 0) throw await openError(name, -handle);
    try {
      const facts = await queryFacts(addon, handle, name);
      const maxInlineData = await probeInline(addon, handle);
      opened = new IbverbsDevice(addon, handle, name, facts, maxInlineData);
      return opened;
    } catch (error) {
      await addon.close(handle);
      throw error;
    }
  }

  private constructor(
    addon: VerbsAddon,
    handle: number,
    name: string,
    facts: DeviceFacts,
    maxInlineData: number,
  ) {
    this.addon = addon;
    this.#handle = handle;
    this.name = name;
    this.#facts = facts;
    this.attributes = { ...facts.attributes, maxInlineData };
    this.buffer = requestBuffer(addon);
    this.#life = new ObjectLife('devices', UNCOUNTED, [], name);
  }

  get closed(): boolean {
    return this.#life.closed;
  }

  get checksChecksums(): boolean {
    return this.#facts.checksChecksums;
  }

  get maxSrqSge(): number {
    return this.#facts.maxSrqSge;
  }

  async queryPort(port = 1): Promise<PortAttributes> {
    this.#life.checkOpen();
    return (await this.#queryPort(port)).attributes;
  }

  async queryGids(port = 1): Promise<readonly GidEntry[]> {
    this.#life.checkOpen();
    const { gidTableLength } = await this.#queryPort(port);
    return readGids(this.addon, this.#handle, this.name, port, gidTableLength * this.#facts.ports);
  }

  async allocPd(): Promise<IbverbsPd> {
    this.#life.checkOpen();
    return await this.#child('pds', [], async (life) => {
      const handle = await this.addon.allocPd(this.#handle);
      if (handle < 0) throw verbError(`allocating a protection domain on ${this.name}`, -handle);
      return new IbverbsPd(life, this, handle);
    });
  }

  async createCq(options: CompletionQueueOptions): Promise<IbverbsCq> {
    this.#life.checkOpen();
    const { capacity } = options;
    const { maxCqe } = this.attributes;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > maxCqe) {
      throw wrongCqCapacity(capacity, maxCqe);
    }
    const channel = options.channel ?? null;
    if (
      channel !== null &&
      (!(channel instanceof IbverbsChannel) || channel.device !== this || channel.closed)
    ) {
      throw foreignChannel();
    }
    return await this.#child('cqs', channel === null ? [] : [channel.life], async (life) => {
      const out = new Float64Array(1);
      const handle = await this.addon.createCq(this.#handle, capacity, channel?.handle ?? 0, out);
      if (handle < 0) {
        throw verbError(`creating a completion queue of ${capacity} entries on ${this.name}`, -handle, {
          invalid: `at most ${maxCqe} entries are possible`,
        });
      }
      return new IbverbsCq(life, this, handle, out[0] ?? capacity, channel);
    });
  }

  async createCompletionChannel(): Promise<IbverbsChannel> {
    this.#life.checkOpen();
    return await this.#child('channels', [], async (life) => {
      const channel = new IbverbsChannel(life, this);
      const handle = await this.addon.createChannel(this.#handle, (cqHandle) => {
        const cq = this.cqs.get(cqHandle);
        if (cq !== undefined) channel.deliver(cq);
      });
      if (handle < 0) throw verbError(`creating a completion channel on ${this.name}`, -handle);
      channel.handle = handle;
      return channel;
    });
  }

  async connectionManager(): Promise<ConnectionManager> {
    this.#life.checkOpen();
    const opening = this.#manager ?? RdmacmManager.open(this);
    this.#manager = opening;
    try {
      return await opening;
    } catch (error) {
      // What is missing may be there when somebody asks again.
      this.#manager = undefined;
      throw error;
    }
  }

  onAsyncEvent(listener: (event: AsyncEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  census(): DeviceCensus {
    return this.live.snapshot();
  }

  /** Those that the kernel driver keeps, as it names them: of all ports together, and of all programs. */
  counters(): Readonly<Record<string, number>> {
    return portCounters(this.name);
  }

  ref(): this {
    this.#hold.ref();
    return this;
  }

  unref(): this {
    this.#hold.unref();
    return this;
  }

  /** Packets of an RNIC are not captured here. */
  annotate(_text: string): void {}

  async close({ force = false }: CloseOptions = {}): Promise<void> {
    if (force && !this.closed) await this.live.closeAll();
    if (this.#manager !== undefined) await (await this.#openManager())?.settle();
    if (!this.closed) this.live.checkNone(this.name);
    await this.#life.close(async () => {
      await (await this.#openManager())?.close();
      await this.destroy(this.#handle, this.name);
      this.#hold.end();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- for the objects of this device -------------------------------------------------------------------------------

  /** @throws RdmaError what the kernel said, or `busy` where something still uses it. */
  async destroy(handle: number, what: string, busy?: string): Promise<void> {
    const result = await this.addon.close(handle);
    if (result >= 0) return;
    const hints = busy === undefined ? {} : { [Errno.EBUSY]: busy, [Errno.EINVAL]: busy };
    const codes = busy === undefined ? {} : ({ [Errno.EINVAL]: 'ERR_RDMA_IN_USE' } as const);
    throw verbError(`closing ${what}`, -result, { hints, codes });
  }

  /** The index of the GID to send from. */
  async resolveSgid(av: AddressVector, port: number): Promise<number> {
    parseDgid(av.dgid);
    if (av.udpPort !== undefined && av.udpPort !== ROCE_UDP_PORT) {
      throw usageError(
        `${this.name} sends to UDP port ${ROCE_UDP_PORT} only, and the peer is at ${av.udpPort}`,
      );
    }
    if (av.sgidIndex !== undefined) return av.sgidIndex;
    return (await chooseGid(await this.queryGids(port), av.dgid, this.name)).index;
  }

  /** Some devices gather into fewer pieces for a READ than for other requests. */
  checkReadSges(count: number): void {
    const { maxReadSge } = this.#facts;
    if (count > maxReadSge) throw usageError(`a READ on ${this.name} takes ${maxReadSge} SGEs, not ${count}`);
  }

  onFailedCompletion({ qpn }: WorkCompletion): void {
    this.qps.get(qpn)?.suspect();
  }

  onAsync(type: number, subject: number): void {
    const event = asyncEventOf(type, subject, this);
    if (event === undefined) return;
    if ('qp' in event) (event.qp as ListedQp).tell(event);
    if (event.type === 'CQ_ERR') (event.cq as ListedCq).overrun = true;
    this.#listeners.tell(event);
  }

  #openManager(): Promise<RdmacmManager | undefined> {
    return this.#manager?.catch(() => undefined) ?? Promise.resolve(undefined);
  }

  async #queryPort(port: number): ReturnType<typeof queryPortFacts> {
    const { ports } = this.#facts;
    if (!Number.isInteger(port) || port < 1 || port > ports) {
      throw usageError(`${this.name} has port 1 to ${ports}, not port ${port}`);
    }
    return await queryPortFacts(this.addon, this.#handle, this.name, port);
  }

  /** The last moment to see that the device is being closed. */
  async #child<T>(
    kind: ObjectKind,
    needs: readonly ObjectLife[],
    make: (life: ObjectLife) => Promise<T>,
  ): Promise<T> {
    this.#life.checkOpen();
    return await makeObject(kind, this.live, needs, make);
  }
}

async function openError(name: string, errno: number): Promise<RdmaError> {
  if (errno !== Errno.ENODEV && errno !== Errno.ENOSYS) return verbError(`opening ${name}`, errno);
  const names = await listIbverbsDevices();
  const list = names.length === 0 ? 'no RDMA device' : `the RDMA devices ${names.join(', ')}`;
  return new RdmaError('ERR_RDMA_NO_DEVICE', `this machine has ${list}`);
}
