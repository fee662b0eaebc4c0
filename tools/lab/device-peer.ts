/** An end on a device of this process: the soft device, or any other that `openDevice` knows. */
import { openDevice } from '../../src/open-device.js';
import { AccessFlags, REMOTE_ACCESS } from '../../src/verbs/access-flags.js';
import { toPsn, toQpn, toRKey } from '../../src/verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../../src/verbs/device.js';
import { ownGid } from '../../src/verbs/gid-choice.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { toPathMtu } from '../../src/verbs/mtu.js';
import { QpState } from '../../src/verbs/qp-state.js';
import type { QueuePair } from '../../src/verbs/queue-pair.js';
import { createCompletions, type WorkCompletion } from '../../src/verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, type Sge, type WrOpcode } from '../../src/verbs/work-request.js';
import { HERE } from './network.js';
import {
  NO_REGION,
  PEER_DEFAULTS,
  type Peer,
  type PeerAddress,
  type PeerCompletion,
  type PeerOptions,
  type PeerRegion,
  type PeerRegionOptions,
  type PeerSend,
  type PeerSge,
  pattern,
  sha256,
} from './peer.js';
import { softDeviceName } from './soft-device.js';

/** A region and the place in the buffer where it begins. */
interface PlacedRegion {
  readonly mr: MemoryRegion;
  readonly offset: number;
}

export class DevicePeer implements Peer {
  readonly kind: string;
  readonly device: Device;
  address: PeerAddress = { gid: '', qpn: 0, psn: 0 };
  readonly #options: PeerOptions;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #regions: PlacedRegion[] = [];
  readonly #events: string[] = [];
  #domains: ProtectionDomain[] = [];
  #channel!: CompletionChannel;
  #cq!: CompletionQueue;
  #qp!: QueuePair;
  #invalid!: MemoryRegion;

  static async open(options: PeerOptions): Promise<DevicePeer> {
    const device = await openDevice(await softDeviceName(options.ip));
    const peer = new DevicePeer(device, options);
    await peer.#setUp();
    return peer;
  }

  private constructor(device: Device, options: PeerOptions) {
    this.device = device;
    this.kind = device.kind;
    this.#options = options;
    this.#buffer = new Uint8Array(options.bufferBytes);
    this.#view = new DataView(this.#buffer.buffer);
    device.onAsyncEvent((event) => this.#events.push(event.type));
  }

  async #setUp(): Promise<void> {
    const { device } = this;
    this.#domains = [await device.allocPd(), await device.allocPd()];
    const whole = await this.#domain(0).regMr(this.#buffer, AccessFlags.LOCAL_WRITE | REMOTE_ACCESS);
    this.#regions.push({ mr: whole, offset: 0 });
    this.#invalid = await this.#domain(0).regMr(this.#buffer, AccessFlags.LOCAL_WRITE);
    await this.#invalid.close();
    this.#channel = await device.createCompletionChannel();
    this.#cq = await device.createCq({ capacity: 4096, channel: this.#channel });
    this.#qp = await this.#domain(0).createQp({
      sendCq: this.#cq,
      recvCq: this.#cq,
      capacity: { maxSendWr: 512, maxRecvWr: 512 },
    });
    const accessFlags = this.#options.access ?? PEER_DEFAULTS.access;
    await this.#qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags });
    const { gid } = await ownGid(device, HERE[this.#options.ip]);
    this.address = { gid, qpn: this.#qp.qpn, psn: Math.floor(Math.random() * 2 ** 24) };
  }

  get bufferAddr(): bigint {
    return this.#region(0).mr.addr;
  }

  get rkey(): number {
    return this.#region(0).mr.rkey;
  }

  async connect(remote: PeerAddress): Promise<void> {
    const options = { ...PEER_DEFAULTS, ...this.#options };
    await this.#qp.modify({
      state: QpState.RTR,
      av: { dgid: remote.gid },
      pathMtu: toPathMtu(options.mtu),
      destQpn: toQpn(remote.qpn),
      rqPsn: toPsn(remote.psn),
      maxDestRdAtomic: options.rdAtomic,
      minRnrTimer: options.minRnrTimer,
    });
    await this.#qp.modify({
      state: QpState.RTS,
      sqPsn: toPsn(this.address.psn),
      timeout: options.timeout,
      retryCount: options.retryCount,
      rnrRetry: options.rnrRetry,
      maxRdAtomic: options.rdAtomic,
    });
  }

  async addRegion(options: PeerRegionOptions): Promise<PeerRegion> {
    const { offset, length, access } = options;
    const bytes = this.#buffer.subarray(offset, offset + length);
    const mr = await this.#domain(options.otherDomain === true ? 1 : 0).regMr(bytes, access);
    this.#regions.push({ mr, offset });
    return { index: this.#regions.length - 1, rkey: mr.rkey };
  }

  async fill(offset: number, length: number, seed: number): Promise<void> {
    this.#buffer.set(pattern(length, seed), offset);
  }

  async hash(offset: number, length: number): Promise<string> {
    return sha256(this.#buffer.subarray(offset, offset + length));
  }

  async peek(offset: number): Promise<bigint> {
    return this.#view.getBigUint64(offset, true);
  }

  async poke(offset: number, value: bigint): Promise<void> {
    this.#view.setBigUint64(offset, value, true);
  }

  async postRecv(wrId: number, sges: readonly PeerSge[]): Promise<void> {
    this.#qp.postRecv({ wrId, sges: sges.map((sge) => this.#toSge(sge)) });
  }

  async postSend(send: PeerSend): Promise<void> {
    const request: Mutable<SendWorkRequest> = {
      wrId: send.wrId,
      opcode: send.opcode as WrOpcode,
      flags: SendFlags.SIGNALED,
      sges: (send.sges ?? []).map((sge) => this.#toSge(sge)),
    };
    if (send.remoteAddr !== undefined) request.remoteAddr = send.remoteAddr;
    if (send.rkey !== undefined) request.rkey = toRKey(send.rkey);
    if (send.imm !== undefined) request.imm = send.imm;
    if (send.compareAdd !== undefined) request.compareAdd = send.compareAdd;
    if (send.swap !== undefined) request.swap = send.swap;
    this.#qp.postSend(request);
  }

  async poll(max: number, timeoutMillis: number): Promise<PeerCompletion[]> {
    const found = createCompletions(max);
    const deadline = Date.now() + timeoutMillis;
    for (;;) {
      this.#cq.reqNotify();
      const count = this.#cq.poll(found);
      if (count > 0) return found.slice(0, count).map(toCompletion);
      if (Date.now() >= deadline) return [];
      await this.#nextEvent(deadline - Date.now());
    }
  }

  async state(): Promise<number> {
    return (await this.#qp.query()).state;
  }

  async events(): Promise<string[]> {
    return this.#events.splice(0);
  }

  async close(): Promise<void> {
    await this.#qp.close();
    await this.#cq.close();
    await this.#channel.close();
    for (const { mr } of this.#regions) await mr.close();
    for (const domain of this.#domains) await domain.close();
    await this.device.close();
  }

  #nextEvent(timeoutMillis: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#channel.onEvent = null;
        resolve();
      };
      const timer = setTimeout(end, timeoutMillis);
      this.#channel.onEvent = end;
    });
  }

  #domain(index: number): ProtectionDomain {
    const domain = this.#domains[index];
    if (domain === undefined) throw new Error(`no protection domain ${index}`);
    return domain;
  }

  #region(index: number): PlacedRegion {
    const region = this.#regions[index];
    if (region === undefined) throw new Error(`no region ${index}`);
    return region;
  }

  #toSge({ region, offset, length }: PeerSge): Sge {
    if (region === NO_REGION) return { mr: this.#invalid, offset, length };
    const placed = this.#region(region ?? 0);
    return { mr: placed.mr, offset: offset - placed.offset, length };
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const toCompletion = ({ wrId, status, opcode, byteLen, imm }: WorkCompletion): PeerCompletion => ({
  wrId,
  status,
  opcode,
  byteLen,
  imm,
});
