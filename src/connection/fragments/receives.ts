/**
 * The receives of a connection: places of memory for one fragment each, and which of them the device has. A few are there for as
 * long as the connection; more come in blocks when they are asked for, and a block goes when none of its places is needed. A
 * receive that the device has cannot be taken from it, so one that is not needed goes when a fragment has used it up.
 *
 * Invariant: there are never more places than may be needed at most, whatever the peer does; memory goes when the device has none of it.
 */
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import type { Sge } from '../../verbs/work-request.js';

/** A receive is known to its queue pair by its block and its place there. */
const PLACES_OF_A_BLOCK = 2 ** 17;

interface Receive {
  wrId: number;
  readonly sges: readonly [{ -readonly [Key in keyof Sge]: Sge[Key] }];
}

/** For all connections: filled anew for every receive, and never kept by whom it is given to. */
const request: Receive = { wrId: 0, sges: [{ mr: null as never, offset: 0, length: 0 }] };

interface Block {
  readonly mr: MemoryRegion;
  /** Where in `mr` its first place is. */
  readonly at: number;
  /** Receives of it that the device has. */
  posted: number;
  /** Places that the device does not have and that wait to be needed again. */
  free: number[] | null;
}

export interface ReceivesOwner {
  /** Memory of a block that is gone. */
  release?(mr: MemoryRegion): void;
}

export class Receives {
  readonly #slotBytes: number;
  readonly #owner: ReceivesOwner;
  /** The first one stays; others leave holes. */
  #blocks: (Block | null)[] = [];
  #qp: QueuePair | null = null;
  /** Receives that the device has and that are not needed. */
  #surplus = 0;

  constructor(slotBytes: number, owner: ReceivesOwner) {
    this.#slotBytes = slotBytes;
    this.#owner = owner;
  }

  /** A link is coming up: posts all receives of `mr` from `at` on; those of the link before are gone, and the device uses them no more. */
  attach(qp: QueuePair, mr: MemoryRegion, at: number): void {
    for (const block of this.#blocks.slice(1)) if (block !== null) this.#owner.release?.(block.mr);
    this.#blocks = [];
    this.#qp = qp;
    this.#surplus = 0;
    this.add(mr, at);
  }

  /** The link is over. */
  detach(): void {
    this.#qp = null;
  }

  /** Posts all receives that `mr` has room for, from `at` on. */
  add(mr: MemoryRegion, at = 0): void {
    const places = Math.floor((mr.length - at) / this.#slotBytes);
    const block: Block = { mr, at, posted: 0, free: null };
    const hole = this.#blocks.indexOf(null);
    const index = hole < 0 ? this.#blocks.length : hole;
    // An array that grows by itself, also one that is spread, has room for sixteen more.
    if (hole < 0) this.#blocks = this.#blocks.concat(block);
    else this.#blocks[hole] = block;
    for (let place = 0; place < places; place++) this.#post(block, index * PLACES_OF_A_BLOCK + place);
  }

  /** The first `length` bytes of a receive that a fragment has used up; `undefined` before the first link. */
  bytesOf(wrId: number, length: number): Uint8Array | undefined {
    const block = this.#blockOf(wrId);
    if (block === undefined) return undefined;
    const at = this.#offsetOf(block, wrId);
    return block.mr.bytes.subarray(at, at + length);
  }

  /** A fragment has been taken out of a receive, which is posted again where it is needed. */
  giveBack(wrId: number): void {
    const block = this.#blockOf(wrId);
    if (block === undefined) return;
    block.posted--;
    if (this.#surplus === 0 || wrId < PLACES_OF_A_BLOCK) {
      this.#post(block, wrId);
      return;
    }
    this.#surplus--;
    block.free ??= [];
    block.free.push(wrId);
    if (block.posted === 0) {
      this.#blocks[Math.floor(wrId / PLACES_OF_A_BLOCK)] = null;
      this.#owner.release?.(block.mr);
    }
  }

  /** Of the receives that the device has, `count` are not needed. */
  retire(count: number): void {
    this.#surplus += count;
  }

  /** Needs up to `count` receives more, as far as there are places for them; returns how many there were. */
  reuse(count: number): number {
    let found = Math.min(count, this.#surplus);
    this.#surplus -= found;
    for (const block of this.#blocks) {
      const free = block?.free ?? [];
      while (block !== null && found < count && free.length > 0) {
        this.#post(block, free.pop() as number);
        found++;
      }
    }
    return found;
  }

  #blockOf(wrId: number): Block | undefined {
    return this.#blocks[Math.floor(wrId / PLACES_OF_A_BLOCK)] ?? undefined;
  }

  #offsetOf(block: Block, wrId: number): number {
    return block.at + (wrId % PLACES_OF_A_BLOCK) * this.#slotBytes;
  }

  #post(block: Block, wrId: number): void {
    block.posted++;
    const qp = this.#qp;
    if (qp === null || qp.state === QpState.ERR) return;
    const [sge] = request.sges;
    sge.mr = block.mr;
    sge.offset = this.#offsetOf(block, wrId);
    sge.length = this.#slotBytes;
    request.wrId = wrId;
    qp.postRecv(request);
  }
}
