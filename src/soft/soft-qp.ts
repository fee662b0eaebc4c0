/** Queue pairs and shared receive queues of the soft device: verbs requests in, engine elements out. */
import type { Nic } from '../roce/nic.js';
import type { BindRequest } from '../roce/qp/bind-request.js';
import type { Qp } from '../roce/qp/qp.js';
import type { ReceiveQueue } from '../roce/qp/receive-queue.js';
import { isAtomic } from '../roce/qp/request-opcodes.js';
import type { SendQueue, SendWqe } from '../roce/qp/send-queue.js';
import type { Srq } from '../roce/qp/srq.js';
import type { Qpn } from '../verbs/brands.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { ObjectLife } from '../verbs/object-life.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from '../verbs/qp-attributes.js';
import { mayPostRecv, mayPostSend, type QpState, type QpType, qpStateName } from '../verbs/qp-state.js';
import type { QueuePair, QueuePairProgress, SharedReceiveQueue } from '../verbs/queue-pair.js';
import { checkSendRequest, sgeLength } from '../verbs/request-checks.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  type Sge,
  type WindowBinding,
  WrOpcode,
} from '../verbs/work-request.js';
import { SoftAh } from './soft-ah.js';
import type { SoftCq } from './soft-cq.js';
import { SoftMr, SoftMw } from './soft-memory.js';
import type { SoftPd } from './soft-pd.js';
import { nowMicros } from './turning.js';

const MAX_MESSAGE_BYTES = 2 ** 31;
const NO_SGES: readonly Sge[] = [];

export class SoftQp implements QueuePair {
  readonly engine: Qp;
  readonly sendCq: SoftCq;
  readonly recvCq: SoftCq;
  readonly #pd: SoftPd;
  readonly #srq: SoftSrq | null;
  readonly #life: ObjectLife;

  constructor(pd: SoftPd, engine: Qp, sendCq: SoftCq, recvCq: SoftCq, srq: SoftSrq | null) {
    this.#pd = pd;
    this.engine = engine;
    this.sendCq = sendCq;
    this.recvCq = recvCq;
    this.#srq = srq;
    engine.context = this;
    const queues = srq === null ? [sendCq, recvCq] : [sendCq, recvCq, srq];
    this.#life = new ObjectLife('qps', pd.live, [pd.life, ...queues.map(({ life }) => life)]);
    this.#life.owner = this;
  }

  get qpn(): Qpn {
    return this.engine.qpn as Qpn;
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

  close(): Promise<void> {
    return this.#life.closeNow(() => this.#pd.nic.destroyQp(this.engine, nowMicros()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    this.#life.checkOpen();
  }

  #enqueueSend(request: SendWorkRequest): void {
    this.#checkOpen();
    if (!mayPostSend(this.engine.state)) {
      const state = qpStateName(this.engine.state);
      throw new RdmaError(
        'ERR_RDMA_INVALID_STATE',
        `postSend needs a queue pair in RTS, this one is in ${state}`,
      );
    }
    checkSendRequest(request, this.engine.type);
    const queue = this.engine.requester.queue;
    if (queue.full) {
      const message = `the send queue holds ${queue.maxWr} requests already; poll completions before posting more`;
      throw new RdmaError('ERR_RDMA_QUEUE_FULL', message);
    }
    const wqe = queue.reserve();
    this.#fill(queue, wqe, request);
    this.engine.commitSend();
  }

  #fill(queue: SendQueue, wqe: SendWqe, request: SendWorkRequest): void {
    const flags = request.flags ?? 0;
    wqe.wrId = request.wrId;
    wqe.opcode = request.opcode;
    wqe.signaled = (flags & SendFlags.SIGNALED) !== 0;
    wqe.fence = (flags & SendFlags.FENCE) !== 0;
    wqe.solicited = (flags & SendFlags.SOLICITED) !== 0;
    wqe.remoteVa = request.remoteAddr === undefined ? 0 : toVa(request.remoteAddr);
    wqe.rkey = request.rkey ?? 0;
    wqe.imm = request.imm ?? 0;
    wqe.invalidateRkey = request.invalidateRkey ?? 0;
    wqe.length = this.#fillPayload(queue, wqe, request);
    if (request.compareAdd !== undefined)
      fillAtomic(wqe, request.opcode, request.compareAdd, request.swap ?? 0n);
    if (request.bind !== undefined) wqe.bind = toBindRequest(request.bind, this.#pd);
    if (request.ah !== undefined) this.#fillDatagram(wqe, request);
  }

  #fillPayload(queue: SendQueue, wqe: SendWqe, request: SendWorkRequest): number {
    if (request.inlineData !== undefined) {
      const { length } = request.inlineData;
      if (length > queue.maxInline) {
        throw usageError(`inlineData has ${length} bytes, but maxInlineData is ${queue.maxInline}`);
      }
      queue.setInline(wqe, request.inlineData);
      return length;
    }
    const sges = request.sges;
    if (sges === undefined) return isAtomic(request.opcode) ? 8 : 0;
    if (sges.length > queue.sges.maxSge) {
      throw usageError(`the request has ${sges.length} SGEs, but maxSendSge is ${queue.sges.maxSge}`);
    }
    let total = 0;
    for (const sge of sges) {
      const length = sgeLength(sge);
      queue.sges.add(wqe.slot, toSoftMr(sge, this.#pd).region, sge.offset ?? 0, length);
      total += length;
    }
    if (total > MAX_MESSAGE_BYTES) throw usageError(`a message of ${total} bytes is too long: 2^31 at most`);
    // The result of an atomic is 8 bytes, whatever room there is: too little of it is LOC_LEN_ERR.
    return isAtomic(request.opcode) ? 8 : total;
  }

  #fillDatagram(wqe: SendWqe, request: SendWorkRequest): void {
    if (!(request.ah instanceof SoftAh) || !request.ah.belongsTo(this.#pd.nic))
      throw usageError('the address handle belongs to another device');
    wqe.flow = request.ah.flow;
    wqe.destQpn = request.remoteQpn ?? 0;
    wqe.qkey = request.remoteQkey ?? 0;
  }

  #enqueueReceive(request: ReceiveWorkRequest): void {
    this.#checkOpen();
    if (this.#srq !== null) throw usageError('the queue pair has a shared receive queue: post to that one');
    if (!mayPostRecv(this.engine.state)) {
      throw new RdmaError(
        'ERR_RDMA_INVALID_STATE',
        'postRecv needs a queue pair in INIT or later, this one is in RESET',
      );
    }
    pushReceive(this.engine.receives, request, this.#pd, 'receive queue');
    this.engine.commitReceive();
  }
}

export class SoftSrq implements SharedReceiveQueue {
  readonly engine: Srq;
  readonly #pd: SoftPd;
  readonly life: ObjectLife;

  constructor(pd: SoftPd, engine: Srq) {
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
    pushReceive(this.engine.receives, request, this.#pd, 'shared receive queue');
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

function pushReceive(queue: ReceiveQueue, request: ReceiveWorkRequest, pd: SoftPd, what: string): void {
  if (!Number.isSafeInteger(request.wrId)) throw usageError('wrId must be a safe integer');
  if (queue.full) {
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', `the ${what} holds ${queue.maxWr} requests already`);
  }
  const sges = request.sges ?? NO_SGES;
  if (sges.length > queue.sges.maxSge) {
    throw usageError(`the request has ${sges.length} SGEs, but the limit is ${queue.sges.maxSge}`);
  }
  // Everything that can throw comes before the slot is taken.
  if (sges.length === 1) {
    const sge = sges[0] as Sge;
    const length = sgeLength(sge);
    const { region } = toSoftMr(sge, pd);
    const offset = sge.offset ?? 0;
    queue.sges.add(queue.push(request.wrId), region, offset, length);
    return;
  }
  for (const sge of sges) {
    sgeLength(sge);
    toSoftMr(sge, pd);
  }
  const slot = queue.push(request.wrId);
  for (const sge of sges) queue.sges.add(slot, (sge.mr as SoftMr).region, sge.offset ?? 0, sgeLength(sge));
}

function toSoftMr(sge: Sge, pd: SoftPd): SoftMr {
  if (!(sge.mr instanceof SoftMr) || !sge.mr.belongsTo(pd.nic)) {
    throw usageError('the memory region of an SGE belongs to another device');
  }
  return sge.mr;
}

function toVa(address: number | bigint): number {
  const va = Number(address);
  if (!Number.isSafeInteger(va) || va < 0) {
    throw usageError(`remoteAddr must be an address from 0 to 2^53 - 1, not ${address}`);
  }
  return va;
}

function fillAtomic(wqe: SendWqe, opcode: number, compareAdd: bigint, swap: bigint): void {
  const isSwap = opcode === WrOpcode.ATOMIC_CMP_AND_SWP;
  const swapAdd = BigInt.asUintN(64, isSwap ? swap : compareAdd);
  const compare = isSwap ? BigInt.asUintN(64, compareAdd) : 0n;
  wqe.swapAddHigh = Number(swapAdd >> 32n);
  wqe.swapAddLow = Number(swapAdd & 0xffffffffn);
  wqe.compareHigh = Number(compare >> 32n);
  wqe.compareLow = Number(compare & 0xffffffffn);
}

function toBindRequest(bind: WindowBinding, { nic }: SoftPd): BindRequest {
  const { mw, mr } = bind;
  const isOwn = mw instanceof SoftMw && mr instanceof SoftMr && mw.belongsTo(nic) && mr.belongsTo(nic);
  if (!isOwn) {
    throw usageError('the memory window or region of a BIND_MW belongs to another device');
  }
  return {
    window: mw.window,
    region: mr.region,
    offset: bind.offset,
    length: bind.length,
    access: bind.access,
    rkey: bind.rkey,
  };
}
