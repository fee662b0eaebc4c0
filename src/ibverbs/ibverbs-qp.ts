/**
 * Queue pairs over libibverbs.
 *
 * The state that a program sees is what `modify` set, and ERR from the first failed completion or fatal event on; the
 * kernel is asked before the next transition, because a late completion of an earlier life says nothing.
 */

import type { VerbsAddon } from '../native/verbs-addon.js';
import type { Qpn } from '../verbs/brands.js';
import type { RdmaError } from '../verbs/errors.js';
import { Listeners } from '../verbs/listeners.js';
import { receivesAreShared, tooEarlyToReceive, tooEarlyToSend } from '../verbs/misuse.js';
import type { ObjectLife } from '../verbs/object-life.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from '../verbs/qp-attributes.js';
import {
  mayPostRecv,
  mayPostSend,
  QpState,
  type QpType,
  qpStateName,
  qpTypeName,
} from '../verbs/qp-state.js';
import { checkTransition } from '../verbs/qp-transitions.js';
import type { QueuePairEvent } from '../verbs/queue-pair.js';
import { type ReceiveWorkRequest, type SendWorkRequest, WrOpcode } from '../verbs/work-request.js';
import { newPlaces, QUERY_MASK, readSnapshot, readState, writeAttributes } from './attribute-array.js';
import type { IbverbsCq } from './ibverbs-cq.js';
import type { IbverbsMw } from './ibverbs-memory.js';
import type { IbverbsSrq } from './ibverbs-srq.js';
import type { RequestBuffer } from './request-buffer.js';
import {
  checkReceive,
  checkSend,
  postError,
  type SendLimits,
  writeReceive,
  writeSend,
} from './request-writer.js';
import type { ListedQp, VerbsContext, VerbsDomain } from './verbs-context.js';
import { verbError } from './verbs-error.js';

/** In constants of this file, because compiled code has to look up whatever is imported, at every use. */
const check = checkSend;
const write = writeSend;
const maySend = mayPostSend;
const { BIND_MW, RDMA_READ } = WrOpcode;
const { RESET, ERR } = QpState;

export interface NewQp {
  readonly handle: number;
  readonly qpn: Qpn;
  readonly type: QpType;
  readonly capacity: QpCapacity;
  readonly sendCq: IbverbsCq;
  readonly recvCq: IbverbsCq;
  readonly srq: IbverbsSrq | null;
}

export class IbverbsQp implements ListedQp {
  readonly handle: number;
  readonly qpn: Qpn;
  readonly type: QpType;
  readonly capacity: Readonly<QpCapacity>;
  readonly sendCq: IbverbsCq;
  readonly recvCq: IbverbsCq;
  readonly srq: IbverbsSrq | null;
  readonly #device: VerbsContext;
  readonly #addon: VerbsAddon;
  readonly #buffer: RequestBuffer;
  readonly #limits: SendLimits;
  readonly #listeners = new Listeners<QueuePairEvent>();
  readonly #life: ObjectLife;
  #state: QpState = RESET;
  /** The kernel may have moved it to ERR, or not: see above. */
  #isSuspect = false;
  #isFlushing = false;
  #port = 1;

  constructor(life: ObjectLife, pd: VerbsDomain, made: NewQp) {
    this.#life = life;
    life.owner = this;
    this.#device = pd.device;
    this.#addon = pd.device.addon;
    this.#buffer = pd.device.buffer;
    this.handle = made.handle;
    this.qpn = made.qpn;
    this.type = made.type;
    this.capacity = made.capacity;
    this.sendCq = made.sendCq;
    this.recvCq = made.recvCq;
    this.srq = made.srq;
    this.#limits = {
      type: made.type,
      maxSge: made.capacity.maxSendSge | 0,
      maxInline: made.capacity.maxInlineData | 0,
    };
    this.#device.qps.set(this.qpn, this);
    this.#device.qpHandles.set(this.handle, this);
  }

  get state(): QpState {
    return this.#state;
  }

  get closed(): boolean {
    return this.#life.closed;
  }

  modify(attributes: QpAttributes): Promise<void> {
    return this.#life.run(() => this.#modify(attributes));
  }

  /** The kernel counts for the port, see `Device.counters`. */
  counters(): Readonly<Record<string, number>> {
    return {};
  }

  query(): Promise<QpSnapshot> {
    return this.#life.run(async () => {
      const places = await this.#query();
      return readSnapshot(places, this.type, this.capacity);
    });
  }

  postSend(request: SendWorkRequest): void {
    this.#checkSend(request);
    write(this.#buffer, this.#device, request);
    this.#flushSends();
    if (request.opcode === BIND_MW) noteBinding(request);
  }

  postSendBatch(requests: readonly SendWorkRequest[]): void {
    const buffer = this.#buffer;
    try {
      for (const request of requests) {
        this.#checkSend(request);
        if (!buffer.hasRoom(request.sges?.length ?? 1, request.inlineData?.length ?? 0)) this.#flushSends();
        write(buffer, this.#device, request);
        if (request.opcode === BIND_MW) noteBinding(request);
      }
    } finally {
      this.#flushSends();
    }
  }

  postRecv(request: ReceiveWorkRequest): void {
    this.#checkReceive(request);
    writeReceive(this.#buffer, this.#device, request);
    this.#flushReceives();
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    const buffer = this.#buffer;
    try {
      for (const request of requests) {
        this.#checkReceive(request);
        if (!buffer.hasRoom(request.sges?.length ?? 0, 0)) this.#flushReceives();
        writeReceive(buffer, this.#device, request);
      }
    } finally {
      this.#flushReceives();
    }
  }

  onAsyncEvent(listener: (event: QueuePairEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** For the device. */
  tell(event: QueuePairEvent): void {
    const { type } = event;
    if (type === 'QP_FATAL' || type === 'QP_REQ_ERR' || type === 'QP_ACCESS_ERR') this.suspect();
    if (!this.closed) this.#listeners.tell(event);
  }

  close(): Promise<void> {
    return this.#life.close(async () => {
      await this.#device.destroy(this.handle, this.#life.name);
      this.#device.qps.delete(this.qpn);
      this.#device.qpHandles.delete(this.handle);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A completion failed, or the device reported a fatal event. */
  suspect(): void {
    if (this.#state === RESET) return;
    this.#isSuspect = true;
    this.#state = ERR;
  }

  async #modify(attributes: QpAttributes): Promise<void> {
    if (this.#isSuspect) await this.#query();
    const from = this.#state;
    const to = checkTransition(this.type, from, attributes);
    const port = attributes.port ?? this.#port;
    const av = attributes.av;
    const sgidIndex = av === undefined ? 0 : await this.#device.resolveSgid(av, port);
    const places = newPlaces();
    const mask = writeAttributes(places, attributes, port, sgidIndex);
    const result = await this.#addon.modifyQp(this.handle, mask, places);
    if (result < 0) throw this.#modifyError(from, to, attributes, -result, sgidIndex);
    this.#port = port;
    this.#state = to;
  }

  /**
   * A receive posted in ERR must come back flushed. A driver whose receive queue lies in shared memory (rdma_rxe) finds
   * it only when the queue pair goes to ERR again, which changes nothing for the others.
   */
  #flushLateReceives(): void {
    if (this.#state !== ERR || this.#isFlushing) return;
    this.#isFlushing = true;
    const flush = async (): Promise<void> => {
      this.#isFlushing = false;
      if (this.#isSuspect) await this.#query();
      if (this.#state === ERR) await this.#modify({ state: ERR });
    };
    // Closed meanwhile, or refused: then there is nothing more to flush.
    this.#life.run(flush).catch(() => {});
  }

  async #query(): Promise<Float64Array> {
    const places = newPlaces();
    const result = await this.#addon.queryQp(this.handle, QUERY_MASK, places);
    if (result < 0) throw verbError(`querying a queue pair of ${this.#device.name}`, -result);
    this.#state = readState(places);
    this.#isSuspect = false;
    return places;
  }

  #modifyError(
    from: QpState,
    to: QpState,
    attributes: QpAttributes,
    errno: number,
    sgidIndex: number,
  ): RdmaError {
    const given = Object.entries(attributes)
      .filter(([name, value]) => name !== 'state' && value !== undefined && !/psn/i.test(name))
      .map(([name, value]) =>
        name === 'av' ? describeAv(attributes, sgidIndex) : `${name} ${String(value)}`,
      );
    const step = `${qpTypeName(this.type)} ${qpStateName(from)} → ${qpStateName(to)}`;
    const what = `${step} of queue pair 0x${this.qpn.toString(16)} on ${this.#device.name}`;
    return verbError(given.length === 0 ? what : `${what} with ${given.join(', ')}`, errno, {
      invalid:
        'the device refuses one of these; compare them with its attributes, its port and its GID table',
    });
  }

  #checkSend(request: SendWorkRequest): void {
    this.#life.checkOpen();
    if (!maySend(this.#state)) {
      throw tooEarlyToSend(this.#state);
    }
    check(request, this.#limits);
    if (request.opcode === RDMA_READ) this.#device.checkReadSges(request.sges?.length ?? 0);
  }

  #checkReceive(request: ReceiveWorkRequest): void {
    this.#life.checkOpen();
    if (this.srq !== null) throw receivesAreShared();
    if (!mayPostRecv(this.#state)) {
      throw tooEarlyToReceive();
    }
    checkReceive(request, this.capacity.maxRecvSge);
  }

  #flushSends(): void {
    const buffer = this.#buffer;
    if (buffer.count === 0) return;
    const errno = buffer.postSend(this.handle);
    if (errno !== 0) throw postError('send queue', this.#device, errno);
  }

  #flushReceives(): void {
    const buffer = this.#buffer;
    if (buffer.count === 0) return;
    const errno = buffer.postRecv(this.handle);
    this.#flushLateReceives();
    if (errno !== 0) throw postError('receive queue', this.#device, errno);
  }
}

/** As with libibverbs, the window's key is the new one from the post on. */
function noteBinding({ bind }: SendWorkRequest): void {
  if (bind !== undefined) (bind.mw as IbverbsMw).rkey = bind.rkey;
}

function describeAv({ av }: QpAttributes, sgidIndex: number): string {
  return `av to ${av?.dgid} from GID index ${sgidIndex}`;
}
