/**
 * The verbs objects and buffers of one connection, which shares nothing but the device and its completion queues with others: a
 * protection domain, a queue pair, memory for messages and the buffer that the peer may reach.
 * When a connection recovers it gets a new queue pair, with a number that nobody knows yet; the rest stays, and with it
 * the keys that the peer was given.
 *
 * Invariant: `destroy` frees whatever was made, also after a failure half-way, in the order: memory regions, buffers,
 * queue pair, its place in the completion queues, protection domain. The device stays open.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import type { Device, ProtectionDomain } from '../../verbs/device.js';
import { closedError, RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { Cleanup } from '../common/cleanup.js';
import { StepName, type StepReporter } from '../common/steps.js';
import { HEADER_BYTES } from '../fragments/message-header.js';
import { LIMIT_RECEIVES } from '../fragments/receive-window.js';
import { TAG_BYTES } from '../fragments/sealing.js';
import type { Place } from '../streams/stream-memory.js';
import type { DataPathLimits, MemoryRights } from '../terms/options.js';
import { BufferPool } from './buffer-pool.js';
import { type CompletionGroup, CompletionHub, type CompletionSeat } from './completion-hub.js';
import { remoteAccess } from './transitions.js';

/** Fragments under way, and how many of the longest there is room for at most. */
const SEND_SLOTS = 32;
const LONGEST_FRAGMENTS = 16;
/** Receives for fragments before the peer has used up all of them. */
const FIRST_RECEIVES = 2;
const MAX_SEND_WR = 128;
/** Header and tag. */
const SMALL_PROOF_BYTES = HEADER_BYTES + TAG_BYTES;
/** The largest packet. */
const FULL_PROOF_BYTES = 4096;
/** What a connection has to send from before it needs more. */
const FIRST_SEND_BYTES = SMALL_PROOF_BYTES + FULL_PROOF_BYTES;
const MEMORY_RETRIES = 5;
const MEMORY_RETRY_MILLIS = 50;
/** Of all that need no more than the first memory. */
const NO_REGIONS: readonly MemoryRegion[] = [];
/** What ten connections with buffers of the default size need. */
const buffers = new BufferPool(16 * 1024 * 1024);

/** A connection has nothing to do: what nobody has needed for a while goes. */
export const restBuffers = (): void => buffers.rest();

export class ConnectionResources {
  readonly pd: ProtectionDomain;
  readonly limits: DataPathLimits;
  readonly #reporter: StepReporter;
  #seat: CompletionSeat | undefined;
  #qp: QueuePair | undefined;
  #messageMr: MemoryRegion | undefined;
  #bufferMr: MemoryRegion | undefined;
  /** What messages needed beyond that. */
  #moreMrs: readonly MemoryRegion[] = NO_REGIONS;
  /** Regions of running one-sided operations and of the program. */
  #extraMrs: Set<MemoryRegion> | null = null;
  /** Memory that stays registered as long as the connection lives, by its buffer, all of which it is. */
  #lasting: Map<ArrayBufferLike, MemoryRegion> | null = null;
  /** Registrations, and what takes them back before the end. */
  #underWay: Set<Promise<unknown>> | null = null;
  #destroying: Promise<void> | undefined;

  /** @throws RdmaError of the verbs; what was made until then is freed. */
  static async create(
    device: Device,
    limits: DataPathLimits,
    reporter: StepReporter,
  ): Promise<ConnectionResources> {
    const resources = new ConnectionResources(await device.allocPd(), limits, reporter);
    try {
      await resources.#create();
    } catch (error) {
      // Why it cannot be made says more than why it cannot be freed.
      await resources.destroy().catch(() => {});
      throw error;
    }
    return resources;
  }

  private constructor(pd: ProtectionDomain, limits: DataPathLimits, reporter: StepReporter) {
    this.pd = pd;
    this.limits = limits;
    this.#reporter = reporter;
  }

  /** Where the completions of its queue pairs come, among those of others. */
  get completions(): CompletionGroup {
    return present(this.#seat).group;
  }

  /** `undefined` before it is made and after it was closed. */
  get currentQp(): QueuePair | undefined {
    return this.#qp;
  }

  get qp(): QueuePair {
    return present(this.#qp);
  }

  /** The first memory for messages: what is sent from, and the receives behind it. One region, as each has its price. */
  get messageMr(): MemoryRegion {
    return present(this.#messageMr);
  }

  /** Of the first memory, what is sent from; the receives begin there. */
  get firstSendBytes(): number {
    return FIRST_SEND_BYTES;
  }

  /** Fragments under way at most. */
  get sendSlots(): number {
    return SEND_SLOTS;
  }

  /** Bytes of all send memory at most. */
  get mostSendBytes(): number {
    return LONGEST_FRAGMENTS * this.limits.slotBytes;
  }

  /** Bytes of all buffers for messages. */
  get bufferBytes(): number {
    let bytes = this.#messageMr?.length ?? 0;
    for (const { length } of this.#moreMrs) bytes += length;
    return bytes;
  }

  /** Where in the first memory the messages that prove a link are. No fragment is under way when they are sent. */
  get proofAt(): { readonly small: number; readonly full: number } {
    return { small: 0, full: SMALL_PROOF_BYTES };
  }

  /** `null` when the peer may reach nothing. */
  get bufferMr(): MemoryRegion | null {
    return this.#bufferMr ?? null;
  }

  /** Memory of ours that the peer may write and read by itself; `undefined` where it may not. */
  reachable(addr: bigint, length: number, right: keyof MemoryRights): Uint8Array | undefined {
    const mr = this.#bufferMr;
    if (
      mr === undefined ||
      !this.limits.rights[right] ||
      addr < mr.addr ||
      addr + BigInt(length) > mr.addr + BigInt(mr.length)
    )
      return undefined;
    const at = Number(addr - mr.addr);
    return mr.bytes.subarray(at, at + length);
  }

  /**
   * Registers memory for as long as the connection lives, or until `deregister`.
   *
   * @throws RdmaError of the verbs; ERR_RDMA_CLOSED when everything is being freed.
   */
  async register(bytes: Uint8Array, access: number): Promise<MemoryRegion> {
    if (this.#destroying !== undefined) throw closedError('the connection');
    const registering = this.#register(bytes, access);
    this.#underWay ??= new Set();
    this.#underWay.add(registering);
    try {
      return await registering;
    } finally {
      this.#underWay?.delete(registering);
    }
  }

  /**
   * New memory that is registered for as long as the connection lives.
   *
   * @throws RdmaError as `register`.
   */
  async allocate(bytes: number): Promise<Uint8Array> {
    const memory = new Uint8Array(bytes);
    const mr = await this.register(memory, AccessFlags.LOCAL_WRITE);
    this.#lasting ??= new Map();
    this.#lasting.set(memory.buffer, mr);
    return memory;
  }

  /** Where `bytes` are in memory that stays registered; `null`: not there. */
  find(bytes: Uint8Array): Place | null {
    const mr = this.#lasting?.get(bytes.buffer);
    return mr === undefined ? null : { mr, at: bytes.byteOffset };
  }

  async deregister(mr: MemoryRegion): Promise<void> {
    await mr.close();
    this.#extraMrs?.delete(mr);
  }

  async #register(bytes: Uint8Array, access: number): Promise<MemoryRegion> {
    const mr = await registerPatiently(this.pd, bytes, access);
    this.#extraMrs ??= new Set();
    this.#extraMrs.add(mr);
    return mr;
  }

  /**
   * Memory for messages beyond the first, until `freeBuffer`.
   *
   * @throws RdmaError of the verbs; ERR_RDMA_CLOSED when everything is being freed.
   */
  async takeBuffer(bytes: number, access: number): Promise<MemoryRegion> {
    const mr = await this.register(buffers.take(bytes), access);
    this.#extraMrs?.delete(mr);
    this.#moreMrs = [...this.#moreMrs, mr];
    return mr;
  }

  /** The device uses none of it any more. */
  freeBuffer(mr: MemoryRegion): void {
    if (!this.#moreMrs.includes(mr)) return;
    this.#moreMrs = this.#moreMrs.filter((other) => other !== mr);
    const closing = mr.close().then(
      () => buffers.giveBack(mr.bytes),
      // It goes with everything else, and whoever ends the connection is told why it cannot.
      () => {
        this.#moreMrs = [...this.#moreMrs, mr];
      },
    );
    this.#underWay ??= new Set();
    this.#underWay.add(closing);
    void closing.then(() => this.#underWay?.delete(closing));
  }

  /** A new queue pair in place of the one that failed. Its completions must have been taken before. */
  async renewQp(): Promise<void> {
    await this.#qp?.close();
    this.#qp = undefined;
    // What it has left behind takes the place of others.
    this.completions.drain();
    if (this.completions.isBroken) await this.#renewSeat();
    this.#qp = await this.#createQp(this.completions);
  }

  async #renewSeat(): Promise<void> {
    const lost = this.#seat;
    this.#seat = await this.#takeSeat();
    await lost?.release();
  }

  #takeSeat(): Promise<CompletionSeat> {
    const receives = this.limits.receiveSlots + LIMIT_RECEIVES;
    return CompletionHub.of(this.pd.device).take({ sends: MAX_SEND_WR, receives });
  }

  /**
   * Frees all that can be freed. Idempotent.
   *
   * @throws RdmaError of the verb that failed first.
   */
  destroy(): Promise<void> {
    this.#destroying ??= this.#destroy();
    return this.#destroying;
  }

  async #create(): Promise<void> {
    const { slotBytes, bufferBytes } = this.limits;
    const receiveBytes = (firstReceives(this.limits) + LIMIT_RECEIVES) * slotBytes;
    this.#seat = await this.#takeSeat();
    this.#qp = await this.#createQp(this.#seat.group);
    const { LOCAL_WRITE } = AccessFlags;
    const memory = buffers.take(FIRST_SEND_BYTES + receiveBytes);
    this.#messageMr = await registerPatiently(this.pd, memory, LOCAL_WRITE);
    if (bufferBytes > 0) {
      const access = LOCAL_WRITE | remoteAccess(this.limits.rights);
      const lent = lentMemory(this.limits);
      this.#bufferMr = await registerPatiently(this.pd, lent, access);
      this.#lasting = new Map([[lent.buffer, this.#bufferMr]]);
    }
  }

  #createQp({ sendCq, recvCq }: CompletionGroup): Promise<QueuePair> {
    const maxRecvWr = this.limits.receiveSlots + LIMIT_RECEIVES;
    const capacity = {
      maxSendWr: MAX_SEND_WR,
      maxRecvWr,
      // A header, and a payload elsewhere.
      maxSendSge: 2,
      maxRecvSge: 1,
      maxInlineData: 0,
    };
    return this.pd.createQp({ sendCq, recvCq, capacity });
  }

  async #destroy(): Promise<void> {
    const cleanup = new Cleanup();
    const qp = this.#qp;
    // The device must have stopped using the memory before it is deregistered.
    if (qp !== undefined && qp.state !== QpState.RESET)
      await cleanup.step(() => qp.modify({ state: QpState.ERR }));
    // What is being registered can only be freed when it exists, and its domain when it is gone.
    await Promise.allSettled(this.#underWay ?? []);
    const own = [this.#messageMr, ...this.#moreMrs];
    const isFree = await this.#deregisterAll(cleanup);
    // What the device may still use is for nobody else.
    if ((await cleanup.step(() => qp?.close())) && isFree) {
      for (const mr of own) if (mr !== undefined) buffers.giveBack(mr.bytes);
    }
    this.#reporter.report(StepName.QP_DESTROYED);
    await cleanup.step(() => this.#seat?.release());
    this.#reporter.report(StepName.CQS_DESTROYED);
    await cleanup.step(() => this.pd.close());
    this.#reporter.report(StepName.PD_DEALLOCATED);
    cleanup.finish();
  }

  /** Returns whether the device uses none of it any more. */
  async #deregisterAll(cleanup: Cleanup): Promise<boolean> {
    const all = [...(this.#extraMrs ?? []), ...this.#moreMrs, this.#messageMr, this.#bufferMr];
    this.#extraMrs = null;
    this.#moreMrs = NO_REGIONS;
    this.#lasting = null;
    this.#messageMr = undefined;
    this.#bufferMr = undefined;
    let isFree = true;
    for (const mr of all) if (!(await cleanup.step(() => mr?.close()))) isFree = false;
    this.#reporter.report(StepName.MEMORY_DEREGISTERED);
    return isFree;
  }
}

const lentMemory = ({ bufferBytes, sharesBuffer = false }: DataPathLimits): Uint8Array =>
  new Uint8Array(sharesBuffer ? new SharedArrayBuffer(bufferBytes) : new ArrayBuffer(bufferBytes));

/** Receives that a peer may fill before it is told of more. */
export const firstReceives = ({ receiveSlots }: DataPathLimits): number =>
  Math.min(FIRST_RECEIVES, receiveSlots);

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new RdmaError('ERR_RDMA_CLOSED', 'the connection is closed; open a new one');
  return value;
}

/** A registration that fails for want of memory is tried again a few times: another connection may give some back. */
async function registerPatiently(
  pd: ProtectionDomain,
  bytes: Uint8Array,
  access: number,
): Promise<MemoryRegion> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await pd.regMr(bytes, access);
    } catch (error) {
      const noMemory = error instanceof RdmaError && error.code === 'ERR_RDMA_NO_MEMORY';
      if (!noMemory || attempt === MEMORY_RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, MEMORY_RETRY_MILLIS * attempt));
    }
  }
}
