/**
 * A completion queue: a ring of entries in parallel arrays, so that neither adding nor polling allocates. An entry
 * that finds no room is never lost in silence: the queue goes into overrun, stays there, and its owner is told.
 */
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
  readonly #wrId: Float64Array;
  readonly #status: Uint8Array;
  readonly #opcode: Uint8Array;
  readonly #byteLen: Float64Array;
  readonly #qpn: Int32Array;
  readonly #flags: Uint8Array;
  readonly #imm: Uint32Array;
  readonly #srcQpn: Int32Array;

  constructor(capacity: number, owner: CqOwner) {
    this.capacity = capacity;
    this.#owner = owner;
    this.#wrId = new Float64Array(capacity);
    this.#status = new Uint8Array(capacity);
    this.#opcode = new Uint8Array(capacity);
    this.#byteLen = new Float64Array(capacity);
    this.#qpn = new Int32Array(capacity);
    this.#flags = new Uint8Array(capacity);
    this.#imm = new Uint32Array(capacity);
    this.#srcQpn = new Int32Array(capacity);
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
    let slot = this.#head + this.#count;
    if (slot >= this.capacity) slot -= this.capacity;
    this.#count++;
    this.#owner.completions++;
    this.#wrId[slot] = wrId;
    this.#status[slot] = status;
    this.#opcode[slot] = opcode;
    this.#byteLen[slot] = byteLen;
    this.#qpn[slot] = qpn;
    this.#flags[slot] = flags;
    this.#imm[slot] = imm;
    this.#srcQpn[slot] = srcQpn;
    if (
      this.arm === CqArm.ALL ||
      (this.arm === CqArm.SOLICITED && (solicited || status !== WcStatus.SUCCESS))
    ) {
      this.arm = CqArm.NONE;
      this.#owner.cqFired(this);
    }
  }

  poll(into: readonly WorkCompletion[], max: number): number {
    const taken = Math.min(max, into.length, this.#count);
    for (let i = 0; i < taken; i++) {
      this.#fill(into[i] as WorkCompletion, this.#head);
      this.#head = this.#head + 1 === this.capacity ? 0 : this.#head + 1;
    }
    this.#count -= taken;
    this.#owner.completions -= taken;
    return taken;
  }

  /** Forgets what is in it: nobody will poll it again. */
  clear(): void {
    this.#owner.completions -= this.#count;
    this.#count = 0;
  }

  #fill(wc: WorkCompletion, slot: number): void {
    wc.wrId = this.#wrId[slot] as number;
    wc.status = this.#status[slot] as number;
    wc.opcode = this.#opcode[slot] as number;
    wc.byteLen = this.#byteLen[slot] as number;
    wc.qpn = this.#qpn[slot] as number;
    wc.flags = this.#flags[slot] as number;
    wc.imm = this.#imm[slot] as number;
    wc.invalidatedRkey = wc.imm;
    wc.srcQpn = this.#srcQpn[slot] as number;
    wc.vendorErr = 0;
  }
}
