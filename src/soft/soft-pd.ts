/** Protection domains of the soft device: the parent of regions, windows, queue pairs, SRQs and address handles. */

import type { Nic } from '../roce/nic.js';
import { checkRegionAccess } from '../verbs/access-flags.js';
import type { AddressVector } from '../verbs/address-handle.js';
import { checkCount, resolveCapacity } from '../verbs/capacity.js';
import type { CompletionQueue } from '../verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../verbs/device.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import { emptyRegion, foreignCq, foreignSrq } from '../verbs/misuse.js';
import { ObjectLife } from '../verbs/object-life.js';
import { QpType } from '../verbs/qp-state.js';
import type { QueuePairOptions, SharedReceiveQueueOptions } from '../verbs/queue-pair.js';
import { SoftAh } from './soft-ah.js';
import { SoftCq } from './soft-cq.js';
import type { SoftHandles } from './soft-handles.js';
import { SoftMr, SoftMw } from './soft-memory.js';
import { type QpOwner, SoftQp, SoftSrq } from './soft-qp.js';
import { nowMicros } from './turning.js';

/** Attributes of a device that say how many objects of a kind it may have. */
export type LimitName = 'maxQps' | 'maxCqs' | 'maxMrs' | 'maxPds' | 'maxMws' | 'maxSrqs';

/** What a domain, and what it makes, needs of the device that made it. */
export interface PdHost extends Device {
  readonly nic: Nic;
  readonly live: LiveObjects;
  readonly handles: SoftHandles;
  /** Something was posted or changed: send and report soon. */
  afterPost(): void;
  /** What a queue pair that is about to be destroyed owes. */
  sendNow(): void;
  /** Programs get to see headers of packets from now on. */
  readHopLimits(): void;
  /** @throws RdmaError ERR_RDMA_LIMIT when as many are `used`. */
  checkLimit(name: LimitName, used: number): void;
}

export class SoftPd implements ProtectionDomain, QpOwner {
  readonly softDevice: PdHost;
  readonly number: number;
  readonly life: ObjectLife;

  constructor(device: PdHost, number: number) {
    this.softDevice = device;
    this.number = number;
    this.life = new ObjectLife('pds', device.live);
    this.life.owner = this;
  }

  get device(): Device {
    return this.softDevice;
  }

  get nic(): Nic {
    return this.softDevice.nic;
  }

  get live(): LiveObjects {
    return this.softDevice.live;
  }

  get closed(): boolean {
    return this.life.closed;
  }

  async regMr(buffer: Uint8Array | ArrayBuffer | SharedArrayBuffer, access: number): Promise<SoftMr> {
    this.life.checkOpen();
    checkRegionAccess(access);
    this.softDevice.checkLimit('maxMrs', this.live.mrs);
    const bytes = ArrayBuffer.isView(buffer)
      ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      : new Uint8Array(buffer);
    if (bytes.length === 0) throw emptyRegion();
    return new SoftMr(this, bytes, access);
  }

  async createQp(options: QueuePairOptions): Promise<SoftQp> {
    this.life.checkOpen();
    const { attributes } = this.softDevice;
    this.softDevice.checkLimit('maxQps', this.live.qps);
    const capacity = resolveCapacity(options.capacity ?? {}, attributes);
    const { sendCq, recvCq } = options;
    const srq = options.srq ?? null;
    if (!this.#mayUse(sendCq) || !this.#mayUse(recvCq)) {
      throw foreignCq();
    }
    if (srq !== null && (!(srq instanceof SoftSrq) || !srq.belongsTo(this.nic) || srq.closed)) {
      throw foreignSrq();
    }
    const engine = this.nic.createQp(
      {
        type: options.type ?? QpType.RC,
        pd: this.number,
        sendCq: sendCq.engine,
        recvCq: recvCq.engine,
        srq: srq?.engine ?? null,
        signalAll: options.signalAll ?? false,
        capacity: srq === null ? capacity : { ...capacity, maxRecvWr: 0, maxRecvSge: srq.maxSge },
      },
      nowMicros(),
    );
    // A datagram comes with the header that it had.
    if (engine.type === QpType.UD) this.softDevice.readHopLimits();
    return new SoftQp(this, engine, sendCq, recvCq, srq);
  }

  async createSrq(options: SharedReceiveQueueOptions): Promise<SoftSrq> {
    this.life.checkOpen();
    const { attributes } = this.softDevice;
    this.softDevice.checkLimit('maxSrqs', this.live.srqs);
    const maxSge = options.maxSge ?? attributes.maxSge;
    checkCount('maxWr', options.maxWr, 1, attributes.maxSrqWr);
    checkCount('maxSge', maxSge, 0, attributes.maxSge);
    return new SoftSrq(this, this.nic.createSrq(this.number, options.maxWr, maxSge));
  }

  async createAh(av: AddressVector): Promise<SoftAh> {
    this.life.checkOpen();
    return new SoftAh(this, av);
  }

  async allocMw(): Promise<SoftMw> {
    this.life.checkOpen();
    this.softDevice.checkLimit('maxMws', this.live.mws);
    return new SoftMw(this);
  }

  close(): Promise<void> {
    return this.life.closeNow(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #mayUse(cq: CompletionQueue): cq is SoftCq {
    return cq instanceof SoftCq && cq.belongsTo(this.live) && !cq.closed;
  }
}
