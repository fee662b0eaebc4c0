/** An end on a device of this process: the soft device, or any other that `openDevice` knows. */
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags, REMOTE_ACCESS } from '../../src/verbs/access-flags.js';
import { toPsn, toQpn, toRKey } from '../../src/verbs/brands.js';
import type { Device, ProtectionDomain } from '../../src/verbs/device.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { toPathMtu } from '../../src/verbs/mtu.js';
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

const ROCE_UDP_PORT = 4791;

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
  #endpoint!: Endpoint;
  #otherDomain!: ProtectionDomain;
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
    const { access, mtu, rdAtomic, ip, ...path } = { ...PEER_DEFAULTS, ...this.#options };
    this.#endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: 512, maxRecvWr: 512 },
      cqCapacity: 4096,
      access: access & REMOTE_ACCESS,
      mtu: toPathMtu(mtu),
      rdAtomic,
      near: HERE[ip],
      path,
    });
    const whole = await this.#endpoint.register(this.#buffer, AccessFlags.LOCAL_WRITE | REMOTE_ACCESS);
    this.#regions.push({ mr: whole, offset: 0 });
    this.#invalid = await this.#endpoint.register(this.#buffer, AccessFlags.LOCAL_WRITE);
    await this.#invalid.close();
    this.#otherDomain = await device.allocPd();
    const { gid, qpn, psn } = this.#endpoint.address;
    this.address = { gid, qpn, psn };
  }

  get bufferAddr(): bigint {
    return this.#region(0).mr.addr;
  }

  get rkey(): number {
    return this.#region(0).mr.rkey;
  }

  /** Both ends have the same MTU and depths. */
  connect({ gid, qpn, psn }: PeerAddress): Promise<void> {
    const { mtu, rdAtomic } = this.#endpoint.address;
    return this.#endpoint.connect({
      gid,
      udpPort: ROCE_UDP_PORT,
      qpn: toQpn(qpn),
      psn: toPsn(psn),
      mtu,
      rdAtomic,
    });
  }

  async addRegion(options: PeerRegionOptions): Promise<PeerRegion> {
    const { offset, length, access } = options;
    const bytes = this.#buffer.subarray(offset, offset + length);
    const pd = options.otherDomain === true ? this.#otherDomain : this.#endpoint.pd;
    const mr = this.#endpoint.keep(await pd.regMr(bytes, access));
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
    this.#endpoint.qp.postRecv({ wrId, sges: sges.map((sge) => this.#toSge(sge)) });
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
    this.#endpoint.qp.postSend(request);
  }

  async poll(max: number, timeoutMillis: number): Promise<PeerCompletion[]> {
    const found = createCompletions(max);
    const count = await this.#endpoint.take(found, timeoutMillis);
    return found.slice(0, count).map(toCompletion);
  }

  async state(): Promise<number> {
    return (await this.#endpoint.qp.query()).state;
  }

  async events(): Promise<string[]> {
    return this.#events.splice(0);
  }

  async close(): Promise<void> {
    await this.#endpoint.close();
    await this.#otherDomain.close();
    await this.device.close();
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
