/** Queue pairs and shared receive queues of the soft device. The engine does the work; they open, close and count. */
import type { Nic } from '../roce/nic.js';
import type { Qp } from '../roce/qp/qp.js';
import type { Srq } from '../roce/qp/srq.js';
import type { Qpn } from '../verbs/brands.js';
import { usageError } from '../verbs/errors.js';
import { Listeners } from '../verbs/listeners.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from '../verbs/qp-attributes.js';
import type { QpState, QpType } from '../verbs/qp-state.js';
import type {
  QueuePair,
  QueuePairEvent,
  QueuePairProgress,
  SharedReceiveQueue,
} from '../verbs/queue-pair.js';
import type { ReceiveWorkRequest, SendWorkRequest } from '../verbs/work-request.js';
import type { SoftCq } from './soft-cq.js';
import type { SoftHandles } from './soft-handles.js';
import type { MemoryOwner } from './soft-memory.js';
import { nowMicros } from './turning.js';

/** What a queue pair needs of the domain that made it. */
export interface QpOwner extends MemoryOwner {
  readonly softDevice: {
    readonly handles: SoftHandles;
    /** Something was posted or changed: send and report soon. */
    afterPost(): void;
    sendNow(): void;
  };
}

export class SoftQp implements QueuePair {
  readonly engine: Qp;
  readonly sendCq: SoftCq;
  readonly recvCq: SoftCq;
  readonly srq: SoftSrq | null;
  readonly #pd: QpOwner;
  readonly #handles: SoftHandles;
  readonly #listeners = new Listeners<QueuePairEvent>();
  readonly #life: ObjectLife;

  constructor(pd: QpOwner, engine: Qp, sendCq: SoftCq, recvCq: SoftCq, srq: SoftSrq | null) {
    this.#pd = pd;
    this.engine = engine;
    this.sendCq = sendCq;
    this.recvCq = recvCq;
    this.srq = srq;
    this.#handles = pd.softDevice.handles;
    engine.context = this;
    // Of their exact lengths: arrays that grow have room for sixteen more.
    const needs =
      srq === null ? [pd.life, sendCq.life, recvCq.life] : [pd.life, sendCq.life, recvCq.life, srq.life];
    this.#life = new ObjectLife('qps', pd.live, needs);
    this.#life.owner = this;
  }

  get qpn(): Qpn {
    return this.engine.qpn;
  }

  get type(): QpType {
    return this.engine.type;
  }

  get state(): QpState {
    return this.engine.state;
  }

  get capacity(): Readonly<QpCapacity> {
    return this.engine.capacity;
  }

  get closed(): boolean {
    return this.engine.destroyed;
  }

  async modify(attributes: QpAttributes): Promise<void> {
    this.#checkOpen();
    this.engine.modify(attributes);
    this.#pd.softDevice.afterPost();
  }

  async query(): Promise<QpSnapshot> {
    this.#checkOpen();
    return this.engine.query();
  }

  counters(): Readonly<Record<string, number>> {
    return this.engine.counters.snapshot();
  }

  get progress(): QueuePairProgress | null {
    return this.engine.progress;
  }

  postSend(request: SendWorkRequest): void {
    this.#enqueueSend(request);
    this.#pd.softDevice.afterPost();
  }

  postSendBatch(requests: readonly SendWorkRequest[]): void {
    try {
      for (const request of requests) this.#enqueueSend(request);
    } finally {
      this.#pd.softDevice.afterPost();
    }
  }

  postRecv(request: ReceiveWorkRequest): void {
    this.#enqueueReceive(request);
    this.#pd.softDevice.afterPost();
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    try {
      for (const request of requests) this.#enqueueReceive(request);
    } finally {
      this.#pd.softDevice.afterPost();
    }
  }

  onAsyncEvent(listener: (event: QueuePairEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** For the device. An event may still be on its way when the queue pair is closed. */
  tell(event: QueuePairEvent): void {
    if (!this.closed) this.#listeners.tell(event);
  }

  close(): Promise<void> {
    return this.#life.closeNow(() => {
      // A program that closes in the turn of the last message leaves no other chance to acknowledge it.
      if (this.engine.prepareDestroy()) this.#pd.softDevice.sendNow();
      this.#pd.nic.destroyQp(this.engine, nowMicros());
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    this.#life.checkOpen();
  }

  #enqueueSend(request: SendWorkRequest): void {
    this.#checkOpen();
    this.engine.postSend(request, this.#handles);
  }

  #enqueueReceive(request: ReceiveWorkRequest): void {
    this.#checkOpen();
    this.engine.postRecv(request, this.#handles);
  }
}

export class SoftSrq implements SharedReceiveQueue {
  readonly engine: Srq;
  readonly #pd: QpOwner;
  readonly life: ObjectLife;

  constructor(pd: QpOwner, engine: Srq) {
    this.#pd = pd;
    this.engine = engine;
    engine.context = this;
    this.life = new ObjectLife('srqs', pd.live, [pd.life]);
    this.life.owner = this;
  }

  get maxWr(): number {
    return this.engine.receives.maxWr;
  }

  get maxSge(): number {
    return this.engine.maxSge;
  }

  belongsTo(nic: Nic): boolean {
    return this.#pd.nic === nic;
  }

  get closed(): boolean {
    return this.life.closed;
  }

  postRecv(request: ReceiveWorkRequest): void {
    this.life.checkOpen();
    this.engine.postRecv(request, this.#pd.softDevice.handles);
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    for (const request of requests) this.postRecv(request);
  }

  async setLimit(limit: number): Promise<void> {
    this.life.checkOpen();
    if (!Number.isInteger(limit) || limit < 0 || limit > this.maxWr) {
      throw usageError(`the limit must be an integer from 0 to ${this.maxWr}, not ${limit}`);
    }
    this.engine.limit = limit;
  }

  close(): Promise<void> {
    return this.life.closeNow(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
