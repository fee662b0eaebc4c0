/**
 * The queue pair and memory of a connection, seen from the device: receives that wait for fragments, sends that wait
 * for their completion, and a copy of the memory that shows who wrote where and when.
 */

import { SendMemory } from '../../../../src/connection/fragments/send-memory.js';
import type { LKey, Qpn, RKey } from '../../../../src/verbs/brands.js';
import type { CompletionQueue } from '../../../../src/verbs/completion-queue.js';
import type { MemoryRegion } from '../../../../src/verbs/memory-region.js';
import type { QpCapacity, QpSnapshot } from '../../../../src/verbs/qp-attributes.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import type { QueuePair } from '../../../../src/verbs/queue-pair.js';
import type { ReceiveWorkRequest, SendWorkRequest, Sge } from '../../../../src/verbs/work-request.js';
import { must } from '../../target.js';

/** Bytes around a buffer that nobody may change. */
const GUARD_BYTES = 64;

export class WatchedMemory implements MemoryRegion {
  readonly bytes: Uint8Array;
  readonly access = 1;
  readonly lkey = 1 as LKey;
  readonly rkey = 0 as RKey;
  readonly addr = 0x10000n;
  readonly closed = false;
  readonly #whole: Uint8Array;
  readonly #shadow: Uint8Array;

  constructor(length: number) {
    this.#whole = new Uint8Array(length + 2 * GUARD_BYTES).fill(0xa5);
    this.#shadow = this.#whole.slice();
    this.bytes = this.#whole.subarray(GUARD_BYTES, GUARD_BYTES + length);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** The piece [at, at + length) may have changed. */
  accept(at: number, length: number): void {
    this.#shadow.set(this.bytes.subarray(at, at + length), GUARD_BYTES + at);
  }

  check(what: string): void {
    must(Buffer.compare(this.#whole, this.#shadow) === 0, `${what} does not write outside of its slot`);
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Memory to send from that is `mr` alone. */
export const sendMemoryOf = (mr: WatchedMemory): SendMemory =>
  new SendMemory({
    mr,
    firstBytes: mr.length,
    mostBytes: mr.length,
    allocate: () => Promise.reject(new Error('there is no more memory')),
    release: () => {},
    onGrown: () => {},
  });

export class WatchedQp implements QueuePair {
  readonly qpn = 0x123 as Qpn;
  readonly type = QpType.RC;
  state: QpState = QpState.RTS;
  readonly capacity: QpCapacity = {
    maxSendWr: 64,
    maxRecvWr: 64,
    maxSendSge: 1,
    maxRecvSge: 1,
    maxInlineData: 0,
  };
  readonly srq = null;
  readonly closed = false;
  readonly onAsyncEvent = (): (() => void) => () => {};
  readonly counters = (): Readonly<Record<string, number>> => ({});
  /** Slots that wait for a fragment, oldest first. */
  readonly receives: number[] = [];
  /** Requests that have not completed, oldest first. */
  readonly sends: SendWorkRequest[] = [];
  onSend: (request: SendWorkRequest, sge: Sge) => void = () => {};
  readonly #memory = new Map<number, Uint8Array>();
  readonly #slots: number;
  readonly #slotBytes: number;

  constructor(slots: number, slotBytes: number) {
    this.#slots = slots;
    this.#slotBytes = slotBytes;
  }

  get sendCq(): CompletionQueue {
    throw new Error('the connection polls its queues elsewhere');
  }

  get recvCq(): CompletionQueue {
    throw new Error('the connection polls its queues elsewhere');
  }

  postRecv({ wrId, sges }: ReceiveWorkRequest): void {
    const sge = sges?.[0];
    must(wrId >= 0 && this.receives.length < this.#slots, 'there is a slot for each receive');
    must(!this.receives.includes(wrId), 'a slot is posted once');
    must(sge !== undefined, 'a receive has memory');
    const { mr, offset = 0, length } = sge;
    must(length === this.#slotBytes && offset % this.#slotBytes === 0, 'a receive is one slot long');
    must(offset + length <= mr.bytes.length, 'a slot lies in its memory');
    this.receives.push(wrId);
    this.#memory.set(wrId, mr.bytes.subarray(offset, offset + length));
  }

  /** Takes the oldest receive out, for a fragment: its number, and its memory. */
  takeReceive(): { readonly wrId: number; readonly memory: Uint8Array } | undefined {
    const wrId = this.receives.shift();
    return wrId === undefined ? undefined : { wrId, memory: this.#memory.get(wrId) as Uint8Array };
  }

  postSend(request: SendWorkRequest): void {
    const sge = request.sges?.[0];
    must(sge !== undefined && this.sends.length < this.capacity.maxSendWr, 'a send fits into the queue');
    this.onSend(request, sge);
    this.sends.push(request);
  }

  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void {
    for (const request of requests) this.postRecv(request);
  }

  postSendBatch(requests: readonly SendWorkRequest[]): void {
    for (const request of requests) this.postSend(request);
  }

  async modify(): Promise<void> {}

  async query(): Promise<QpSnapshot> {
    return { state: this.state, capacity: this.capacity };
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
