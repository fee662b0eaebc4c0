/**
 * A completion queue: a ring of entries in flat arrays, so that neither adding nor polling allocates. An entry
 * that finds no room is never lost in silence: the queue goes into overrun, stays there, and its owner is told.
 */
import { invariant } from '../../verbs/invariant.js';
import { WcStatus, type WorkCompletion } from '../../verbs/work-completion.js';

/** What the queue reports to the NIC that owns it. */
export interface CqOwner {
  /** Entries in all its queues together. Kept by the queues. */
  completions: number;
  cqFired(cq: Cq): void;
  /** An entry was lost: the queue pair that it was for cannot go on. */
  cqOverrun(cq: Cq, isFirst: boolean): void;
}

export const CqArm = { NONE: 0, SOLICITED: 1, ALL: 2 } as const;
export type CqArm = (typeof CqArm)[keyof typeof CqArm];

// Every completion needs these. Engines read a constant of the module itself faster than an imported or exported one.
const { ALL, SOLICITED } = CqArm;
const { SUCCESS } = WcStatus;

/** Of an entry: wrId and byteLen. */
const NUMBERS = 2;
/** Of an entry: status, opcode and flags in the three lowest bytes of the first; then qpn, imm, srcQpn. */
const WORDS = 4;
/** Places of a queue that nobody has used. */
const FIRST_PLACES = 4;

export class Cq {
  readonly capacity: number;
  arm: CqArm = CqArm.NONE;
  overrun = false;
  /** Queue pairs that complete into it. */
  users = 0;
  /** For the object that wraps this one. */
  context: unknown = null;
  readonly #owner: CqOwner;
  #head = 0;
  #count = 0;
  /** Places of the ring: as many as were needed at once. */
  #places: number;
  // Plain arrays: typed ones take hundreds of bytes each before they hold anything, and there are thousands of queues.
  readonly #numbers: number[];
  readonly #words: number[];

  constructor(capacity: number, owner: CqOwner) {
    this.capacity = capacity;
    this.#owner = owner;
    this.#places = Math.min(FIRST_PLACES, capacity);
    this.#numbers = new Array<number>(this.#places * NUMBERS).fill(0);
    this.#words = new Array<number>(this.#places * WORDS).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  /** `imm` carries the immediate or, for a SEND with invalidate, the rkey. */
  push(
    wrId: number,
    status: number,
    opcode: number,
    byteLen: number,
    qpn: number,
    flags: number,
    imm: number,
    srcQpn: number,
    solicited: boolean,
  ): void {
    if (this.#count === this.capacity || this.overrun) {
      const isFirst = !this.overrun;
      this.overrun = true;
      this.#owner.cqOverrun(this, isFirst);
      return;
    }
    if (this.#count === this.#places) this.#grow();
    let slot = this.#head + this.#count;
    if (slot >= this.#places) slot -= this.#places;
    this.#count++;
    this.#owner.completions++;
    const numbers = this.#numbers;
    const words = this.#words;
    const numbersAt = slot * NUMBERS;
    const wordsAt = slot * WORDS;
    numbers[numbersAt] = wrId;
    numbers[numbersAt + 1] = byteLen;
    words[wordsAt] = status | (opcode << 8) | (flags << 16);
    words[wordsAt + 1] = qpn;
    words[wordsAt + 2] = imm;
    words[wordsAt + 3] = srcQpn;
    if (this.arm === ALL || (this.arm === SOLICITED && (solicited || status !== SUCCESS))) {
      this.arm = CqArm.NONE;
      this.#owner.cqFired(this);
    }
  }

  poll(into: readonly WorkCompletion[], max: number): number {
    const taken = Math.min(max, into.length, this.#count);
    for (let i = 0; i < taken; i++) {
      this.#fill(into[i] as WorkCompletion, this.#head);
      this.#head = this.#head + 1 === this.#places ? 0 : this.#head + 1;
    }
    this.#count -= taken;
    this.#owner.completions -= taken;
    INVARIANT: invariant(
      this.#count >= 0 && this.#count <= this.capacity,
      'a completion queue holds 0 to capacity entries',
    );
    INVARIANT: invariant(
      this.#owner.completions >= this.#count,
      'the NIC counts the entries of all its queues',
    );
    return taken;
  }

  /** Forgets what is in it: nobody will poll it again. */
  clear(): void {
    this.#owner.completions -= this.#count;
    this.#count = 0;
  }

  /** Twice the places, or as many as there may be. What stood before the head goes on behind the end of before. */
  #grow(): void {
    const places = this.#places;
    const grown = Math.min(2 * places, this.capacity);
    move(this.#numbers, NUMBERS, places, grown, this.#head);
    move(this.#words, WORDS, places, grown, this.#head);
    this.#places = grown;
  }

  #fill(wc: WorkCompletion, slot: number): void {
    const numbers = this.#numbers;
    const words = this.#words;
    const numbersAt = slot * NUMBERS;
    const wordsAt = slot * WORDS;
    const kind = words[wordsAt] as number;
    wc.wrId = numbers[numbersAt] as number;
    wc.status = kind & 255;
    wc.opcode = (kind >>> 8) & 255;
    wc.byteLen = numbers[numbersAt + 1] as number;
    wc.qpn = words[wordsAt + 1] as number;
    wc.flags = (kind >>> 16) & 255;
    wc.imm = (words[wordsAt + 2] as number) >>> 0;
    wc.invalidatedRkey = wc.imm;
    wc.srcQpn = words[wordsAt + 3] as number;
    wc.vendorErr = 0;
  }
}

/** Makes a full ring of entries of `width` numbers longer, whose oldest entry is at `head`. */
function move(ring: number[], width: number, places: number, grown: number, head: number): void {
  while (ring.length < grown * width) ring.push(0);
  for (let place = 0; place < head; place++) {
    const to = places + place < grown ? places + place : places + place - grown;
    for (let i = 0; i < width; i++) ring[to * width + i] = ring[place * width + i] as number;
  }
}
