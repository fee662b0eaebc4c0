/**
 * READ and atomic requests that were sent and are not answered in full, oldest first, at most `max_rd_atomic` of them.
 * A long READ goes out as several requests that each fit into the sender's window, so that data comes no faster than
 * the path takes it; every such part counts here.
 *
 * Invariant: a request keeps its bounds when it is sent again, in whole or from the first missing packet on. The
 * responder remembers it by them and drops a repetition that reaches beyond.
 */
import { invariant } from '../../verbs/invariant.js';
import { psnDiff, psnDistance } from '../psn.js';

/** A window of READ data is asked for in several parts, so that there is always one under way, and a lost one is soon noticed by the next. */
const PARTS = 4;
/**
 * What a native port sends as two and as three segmented sends, as the first and the last packet of an answer are longer than
 * those between: the last of the answer before, the first and the second leave together, and the others as 15 of 4 KiB each.
 * The third makes one send more of the same kind.
 */
const BURST = 18;
const ROOMY_BURST = 33;
const WIDE_BURST = 48;
/** Longer parts lose fewer requests, and their answers leave in fewer sends; so many of them must fit into the window. */
const BURSTS = 3;
const ROOMY_BURSTS = 2;
const WIDE_BURSTS = 1.5;
/** Packets that are asked for beyond the window. */
const MAX_EARLY = 9;
/** Packets of READ data that are always worth a request. */
const MIN_PART = 2;

/** Of all that never sent any: nothing is ever put into it. */
const NO_PSNS: number[] = [];

export class ReadRequests {
  #limit: number;
  /** A ring of `#places`, which is made place by place. */
  #firstPsns: number[] = NO_PSNS;
  #endPsns: number[] = NO_PSNS;
  #places: number;
  #head = 0;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#places = limit;
  }

  /** 0 = the queue pair can do no READs and atomics at all. */
  get limit(): number {
    return this.#limit;
  }

  /** Changes the limit; what is on the wire is kept. */
  resize(limit: number): void {
    const open = Array.from({ length: this.#count }, (_, i) => (this.#head + i) % this.#places);
    this.#firstPsns = open.map((index) => this.#firstPsns[index] as number);
    this.#endPsns = open.map((index) => this.#endPsns[index] as number);
    this.#places = Math.max(limit, this.#count);
    this.#head = 0;
    this.#limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= this.#limit;
  }

  /** First PSN of the oldest one; not to be read when empty. */
  get oldestPsn(): number {
    return this.#firstPsns[this.#head] as number;
  }

  /**
   * How many packets to ask for now, of `wanted` that are left of a READ; 0 = wait. The answer to a part leaves in one burst:
   * `isRoomy` says that the path has shown room for long ones.
   */
  packetsOfNext(wanted: number, inFlight: number, window: number, isRoomy: boolean): number {
    if (this.full) return 0;
    const share = Math.max(
      MIN_PART,
      shareOf(window, isRoomy),
      // However few requests there may be, the window must be full of them.
      Math.ceil(window / this.#limit),
    );
    const packets = Math.min(wanted, share);
    const room = inFlight === 0 ? window : window - inFlight;
    // Half of a part too early rather than half of one too late, so that the window is full on average; of a long one less.
    const early = Math.min((packets + 1) >> 1, MAX_EARLY);
    return room > 0 && room >= packets - early ? packets : 0;
  }

  /**
   * The same for a request that was sent before: from `psn` to its end, which never moves. The last one may reach beyond
   * the window: less than a window in flight would make each loss cost more than the round trip that it takes to mend.
   */
  packetsOfRepeated(psn: number, endPsn: number, inFlight: number, window: number): number {
    return inFlight < window ? psnDistance(psn, endPsn) : 0;
  }

  push(firstPsn: number, endPsn: number): void {
    INVARIANT: invariant(
      this.#count < this.#limit,
      'no more READs and atomics are unanswered than the peer remembers',
    );
    INVARIANT: invariant(
      this.#count === 0 || psnDiff(firstPsn, this.#lastEnd()) >= 0,
      'requests are remembered in the order of their PSNs',
    );
    if (this.#firstPsns === NO_PSNS) {
      this.#firstPsns = [];
      this.#endPsns = [];
    }
    const index = (this.#head + this.#count) % this.#places;
    this.#firstPsns[index] = firstPsn;
    this.#endPsns[index] = endPsn;
    this.#count++;
  }

  /** Forgets those that are answered in full once `psn` is the oldest unanswered PSN. */
  finishBefore(psn: number): void {
    while (this.#count > 0 && psnDiff(psn, this.#endPsns[this.#head] as number) >= 0) {
      this.#head = (this.#head + 1) % this.#places;
      this.#count--;
    }
  }

  /** Where the request that `psn` belongs to ends; -1 when none does, so that a new one may begin there. */
  endOf(psn: number): number {
    for (let i = 0; i < this.#count; i++) {
      const index = (this.#head + i) % this.#places;
      const end = this.#endPsns[index] as number;
      if (psnDiff(psn, end) < 0) return psnDiff(psn, this.#firstPsns[index] as number) >= 0 ? end : -1;
    }
    return -1;
  }

  /** Where the request that `psn` belongs to begins; -1 when none does. */
  startOf(psn: number): number {
    for (let i = 0; i < this.#count; i++) {
      const index = (this.#head + i) % this.#places;
      if (psnDiff(psn, this.#endPsns[index] as number) >= 0) continue;
      const first = this.#firstPsns[index] as number;
      return psnDiff(psn, first) >= 0 ? first : -1;
    }
    return -1;
  }

  clear(): void {
    this.#count = 0;
  }

  #lastEnd(): number {
    return this.#endPsns[(this.#head + this.#count - 1) % this.#places] as number;
  }
}

function shareOf(window: number, isRoomy: boolean): number {
  if (isRoomy && window >= WIDE_BURSTS * WIDE_BURST) return WIDE_BURST;
  if (isRoomy && window >= ROOMY_BURSTS * ROOMY_BURST) return ROOMY_BURST;
  if (window >= BURSTS * BURST) return BURST;
  return Math.ceil(window / PARTS);
}
