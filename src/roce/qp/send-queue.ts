/**
 * The send queue: a ring of work queue elements between `head` (oldest not completed) and `tail` (next to be posted).
 * Indices count up for ever and are taken modulo the ring size; PSNs are given to an element when its first packet is
 * sent, and stay with it through every retransmission.
 *
 * The ring has as many places as were needed at once: of thousands of queue pairs few are ever full.
 */
import { invariant } from '../../verbs/invariant.js';
import { WcStatus } from '../../verbs/work-completion.js';
import type { Flow } from '../flow.js';
import { Region } from '../memory/region.js';
import type { BindRequest } from './bind-request.js';
import { SgeTable } from './sge-table.js';

/** What few requests have: atomics, those that end a key, and datagrams. */
export class RareFields {
  invalidateRkey = 0;
  swapAddHigh = 0;
  swapAddLow = 0;
  compareHigh = 0;
  compareLow = 0;
  /** UD: the destination of the datagram, beside its flow. */
  destQpn = 0;
  qkey = 0;
}

export class SendWqe {
  readonly slot: number;
  wrId = 0;
  /** `WrOpcode`. */
  opcode = 0;
  signaled = false;
  /** Somebody waits for its completion. */
  isAwaited = false;
  fence = false;
  solicited = false;
  /** Payload bytes; 8 for atomics. */
  length = 0;
  /** The words of an address: it may be one that no number holds. */
  remoteVaHigh = 0;
  remoteVaLow = 0;
  rkey = 0;
  imm = 0;
  bind: BindRequest | null = null;
  /** UD: where the datagram goes. */
  flow: Flow | null = null;
  /** First packet was sent: the PSNs below are valid. */
  started = false;
  firstPsn = 0;
  /** PSNs that it takes; 0 for local operations. */
  packets = 0;
  /** What it will complete with when its turn comes. */
  status: WcStatus = WcStatus.SUCCESS;
  #rare: RareFields | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** Made with the first request of this place that has any, and kept. */
  get rare(): RareFields {
    this.#rare ??= new RareFields();
    return this.#rare;
  }
}

/** Places of a ring that nobody has used; a power of two. */
const FIRST_PLACES = 2;

export class SendQueue {
  readonly maxWr: number;
  readonly maxInline: number;
  readonly sges: SgeTable;
  /** Every request completes with an entry, whatever its flags say. */
  readonly signalAll: boolean;
  head = 0;
  tail = 0;
  #wqes: SendWqe[];
  #mask: number;
  readonly #pd: number;
  /** Made when inline data first comes, for all places that there can be. */
  #inlineArena: Region | null = null;

  constructor(maxWr: number, maxSge: number, maxInline: number, pd: number, signalAll: boolean) {
    this.maxWr = maxWr;
    this.maxInline = maxInline;
    this.signalAll = signalAll;
    this.sges = new SgeTable(FIRST_PLACES, maxSge);
    this.#mask = FIRST_PLACES - 1;
    this.#wqes = Array.from({ length: FIRST_PLACES }, (_, slot) => new SendWqe(slot));
    this.#pd = pd;
  }

  get full(): boolean {
    return this.tail - this.head >= this.maxWr;
  }

  get empty(): boolean {
    return this.tail === this.head;
  }

  at(index: number): SendWqe {
    return this.#wqes[index & this.#mask] as SendWqe;
  }

  /** The next free element, with an empty list; it counts as posted only after `commit`. */
  reserve(): SendWqe {
    if (this.tail - this.head > this.#mask) this.#grow();
    const wqe = this.at(this.tail);
    this.sges.clear(wqe.slot);
    wqe.bind = null;
    wqe.flow = null;
    wqe.started = false;
    wqe.packets = 0;
    wqe.status = WcStatus.SUCCESS;
    return wqe;
  }

  commit(): void {
    INVARIANT: invariant(!this.full, 'only a send queue with room takes another element');
    this.tail++;
  }

  /** Copies inline data into the queue's own arena and makes it the element's only piece. */
  setInline(wqe: SendWqe, data: Uint8Array): void {
    INVARIANT: invariant(data.length <= this.maxInline, 'inline data fits into its place in the arena');
    const at = wqe.slot * this.maxInline;
    this.#inlineArena ??= this.#createArena();
    this.#inlineArena.bytes.set(data, at);
    this.sges.add(wqe.slot, this.#inlineArena, at, data.length);
  }

  /** Gives the oldest element's slot back. */
  retire(): void {
    INVARIANT: invariant(!this.empty, 'an element is retired once');
    const wqe = this.at(this.head);
    this.sges.clear(wqe.slot);
    wqe.bind = null;
    this.head++;
  }

  /** Twice the places. Elements keep their slots, because packets that are being made read their lists by them. */
  #grow(): void {
    const places = this.#wqes.length;
    const mask = 2 * places - 1;
    const grown = new Array<SendWqe>(2 * places);
    for (let i = 0; i < places; i++) {
      const index = this.head + i;
      grown[index & mask] = this.at(index);
      grown[(index + places) & mask] = new SendWqe(places + i);
    }
    this.sges.grow(2 * places);
    this.#wqes = grown;
    this.#mask = mask;
  }

  #createArena(): Region {
    let places = FIRST_PLACES;
    while (places < this.maxWr) places *= 2;
    return new Region(new Uint8Array(places * this.maxInline), 0, 0, this.#pd, 0);
  }
}
