/**
 * The embedded RoCEv2 device: a NIC in this process, over an ordinary UDP socket. No root, kernel module or hardware.
 *
 * It implements the verbs contract over the pure engine and owns what the engine does not: the port, time, randomness
 * from the CSPRNG, and the delivery of events.
 */

import type { Cq } from '../roce/completion/cq.js';
import { Nic, type NicEvent } from '../roce/nic.js';
import type { RandomU32 } from '../roce/random.js';
import { Icrc } from '../roce/wire/icrc.js';
import { formatGid, formatIp, parseGid, type UdpAddress } from '../verbs/address.js';
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
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import { Listeners } from '../verbs/listeners.js';
import { LiveObjects } from '../verbs/live-objects.js';
import { foreignChannel, wrongCqCapacity } from '../verbs/misuse.js';
import { activeMtuFor, type PathMtu } from '../verbs/mtu.js';
import { Driver } from './driver.js';
import { linkMtuBytes } from './link-mtu.js';
import { MemoryPort } from './memory-port.js';
import { openPort } from './open-port.js';
import { randomU32 } from './random.js';
import { SoftCm } from './soft-cm.js';
import { SoftChannel, SoftCq } from './soft-cq.js';
import { SoftHandles } from './soft-handles.js';
import { type LimitName, type PdHost, SoftPd } from './soft-pd.js';
import type { SoftQp, SoftSrq } from './soft-qp.js';
import type { SoftDeviceSpec } from './soft-spec.js';
import type { UdpPort } from './udp-port.js';
import { fastCrc32 } from './zlib-crc.js';

const ATTRIBUTES: DeviceAttributes = {
  maxQps: 65536,
  maxQpWr: 16384,
  maxSge: 16,
  maxCqs: 65536,
  maxCqe: 1_048_576,
  maxMrs: 1_048_576,
  maxMrBytes: 2 ** 32,
  maxPds: 65536,
  maxMws: 65536,
  maxSrqs: 65536,
  maxSrqWr: 16384,
  maxInlineData: 1024,
  maxQpRdAtom: 128,
  maxQpInitRdAtom: 128,
  atomics: true,
  // Over node:dgram nothing comes in without a turn of the event loop.
  pollsPerTurn: 200,
  instantRegistration: true,
};

export class SoftDevice implements PdHost {
  readonly kind = 'soft';
  readonly name: string;
  readonly attributes = ATTRIBUTES;
  readonly nic: Nic;
  readonly live = new LiveObjects();
  readonly handles: SoftHandles;
  readonly #port: UdpPort;
  readonly #driver: Driver;
  readonly #listeners = new Listeners<AsyncEvent>();
  readonly #random: RandomU32;
  #cm: SoftCm | null = null;
  #nextPd = 1;
  #closed = false;

  /** @throws RdmaError ERR_RDMA_ADDRESS when the address cannot be bound. */
  static async open(spec: SoftDeviceSpec): Promise<SoftDevice> {
    const icrc = new Icrc(fastCrc32);
    return new SoftDevice(await openPort(spec, icrc), icrc);
  }

  /** Two devices that are joined in memory, at an address of this machine. */
  static pair(): readonly [SoftDevice, SoftDevice] {
    const icrc = new Icrc(fastCrc32);
    const [one, other] = MemoryPort.pair(parseGid('127.0.0.1') as UdpAddress);
    return [new SoftDevice(one, icrc), new SoftDevice(other, icrc)];
  }

  /** `random`: where queue pair numbers, keys and addresses come from; tests and attacks may give less of it. */
  constructor(port: UdpPort, icrc: Icrc, random: RandomU32 = randomU32) {
    this.#port = port;
    this.#random = random;
    this.name = `soft:${formatIp(port.address)}`;
    const acknowledgesLast = port.joinsRuns;
    this.nic = new Nic({ addresses: [port.address], random, icrc, acknowledgesLast });
    this.handles = new SoftHandles(this.nic);
    this.#driver = new Driver(this.nic, port, () => this.#deliverEvents());
    if (port.link !== null) port.link.onChange = () => this.#tellLinkState();
  }

  get closed(): boolean {
    return this.#closed;
  }

  async queryPort(port = 1): Promise<PortAttributes> {
    this.#checkOpen();
    if (port !== 1) throw usageError(`the soft device has port 1 only, not ${port}`);
    const { address, link } = this.#port;
    link?.ask();
    return {
      state: link?.isUp === false ? 'DOWN' : 'ACTIVE',
      activeMtu: this.#activeMtu(),
      maxMessageBytes: 2 ** 31,
      linkLayer: 'Ethernet',
      lid: 0,
      udpPort: address.port,
      isExclusive: true,
      exactIcrc: this.#port.exactIcrc,
    };
  }

  async queryGids(): Promise<readonly GidEntry[]> {
    this.#checkOpen();
    return [{ index: 0, gid: formatGid(this.#port.address), type: 'RoCE v2' }];
  }

  async allocPd(): Promise<SoftPd> {
    this.#checkOpen();
    this.checkLimit('maxPds', this.live.pds);
    return new SoftPd(this, this.#nextPd++);
  }

  async createCq(options: CompletionQueueOptions): Promise<SoftCq> {
    this.#checkOpen();
    this.checkLimit('maxCqs', this.live.cqs);
    const { capacity } = options;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > ATTRIBUTES.maxCqe) {
      throw wrongCqCapacity(capacity, ATTRIBUTES.maxCqe);
    }
    const channel = options.channel ?? null;
    const isOwn = channel instanceof SoftChannel && channel.belongsTo(this.live);
    if (channel !== null && (!isOwn || channel.closed)) {
      throw foreignChannel();
    }
    return new SoftCq(this.nic.createCq(capacity), channel, this.live, this.#driver);
  }

  async createCompletionChannel(): Promise<SoftChannel> {
    this.#checkOpen();
    return new SoftChannel(this.live);
  }

  async connectionManager(): Promise<ConnectionManager> {
    this.#checkOpen();
    this.#cm ??= new SoftCm(this, { random: this.#random, maxMtu: this.#activeMtu() });
    return this.#cm;
  }

  onAsyncEvent(listener: (event: AsyncEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  census(): DeviceCensus {
    return this.live.snapshot();
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.nic.counters.snapshot(),
      ...this.#port.counters(),
      ...this.#cm?.counters(),
      wakeUps: this.#driver.wakeUps,
    };
  }

  ref(): this {
    this.#port.ref();
    return this;
  }

  unref(): this {
    this.#port.unref();
    return this;
  }

  /** Programs get to see headers of packets from now on. */
  readHopLimits(): void {
    this.#port.readHopLimits?.();
  }

  annotate(text: string): void {
    this.#port.annotate(text);
  }

  async close({ force = false }: CloseOptions = {}): Promise<void> {
    if (this.#closed) return;
    if (force) await this.live.closeAll();
    this.live.checkNone(this.name);
    this.#closed = true;
    if (this.#cm !== null) await this.#sayFarewell(this.#cm);
    this.#driver.stop();
    await this.#port.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- for the objects of this device -------------------------------------------------------------------------------

  afterPost(): void {
    this.nic.settle();
    this.#driver.kick();
  }

  sendNow(): void {
    this.#driver.sendNow();
  }

  checkLimit(name: LimitName, used: number): void {
    if (used < ATTRIBUTES[name]) return;
    throw new RdmaError('ERR_RDMA_LIMIT', `${this.name} has reached ${name} = ${ATTRIBUTES[name]}`);
  }

  /** What the manager has left to say leaves, and programs are told; a socket of node:dgram sends in the next turn. */
  async #sayFarewell(cm: SoftCm): Promise<void> {
    cm.end();
    await new Promise((resolve) => setImmediate(resolve));
    cm.deliver();
  }

  #activeMtu(): PathMtu {
    return activeMtuFor(linkMtuBytes(formatIp(this.#port.address)));
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError(this.name);
  }

  /** Nothing else happens: queue pairs go on trying, as their retry limits say. */
  #tellLinkState(): void {
    this.#listeners.tell({ type: this.#port.link?.isUp === false ? 'PORT_ERR' : 'PORT_ACTIVE', port: 1 });
  }

  /** Returns whether there were any. */
  #deliverEvents(): boolean {
    let delivered = false;
    for (let cq = this.nic.takeFiredCq(); cq !== undefined; cq = this.nic.takeFiredCq()) {
      delivered = true;
      const softCq = cq.context as SoftCq;
      softCq.channel?.deliver(softCq);
    }
    for (let event = this.nic.takeEvent(); event !== undefined; event = this.nic.takeEvent()) {
      delivered = true;
      const translated = translateEvent(event);
      if (translated.type === 'COMM_EST') this.#cm?.onFirstPacket(translated.qp.qpn);
      if ('qp' in translated) (translated.qp as SoftQp).tell(translated);
      this.#listeners.tell(translated);
    }
    return (this.#cm?.deliver() ?? false) || delivered;
  }
}

function translateEvent(event: NicEvent): AsyncEvent {
  if ('qp' in event) return { type: event.type, qp: event.qp.context as SoftQp };
  if ('cq' in event) return { type: event.type, cq: (event.cq as Cq).context as SoftCq };
  return { type: event.type, srq: event.srq.context as SoftSrq };
}
