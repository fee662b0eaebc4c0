/**
 * The memory that the fast calls of the addon share with this side: requests in the order of posting, their SGEs, inline
 * data, and completions. The layout is that of native/ibverbs/data.cc. One buffer serves all queue pairs, because a
 * call that posts takes everything out of it before it returns.
 *
 * Invariant: a request is counted only when it is complete, so that one that turns out wrong half-way leaves nothing.
 */

import type { VerbsAddon } from '../native/verbs-addon.js';
import type { WorkCompletion } from '../verbs/work-completion.js';

export const MAX_REQUESTS = 64;
export const MAX_COMPLETIONS = 256;
const MAX_SGES = 1024;
const INLINE_BYTES = 65_536;

const REQUESTS_AT = 64;
const REQUEST_BYTES = 96;
const SGES_AT = REQUESTS_AT + MAX_REQUESTS * REQUEST_BYTES;
const SGE_BYTES = 16;
const COMPLETIONS_AT = SGES_AT + MAX_SGES * SGE_BYTES;
const COMPLETION_BYTES = 48;
const INLINE_AT = COMPLETIONS_AT + MAX_COMPLETIONS * COMPLETION_BYTES;
const TOTAL_BYTES = INLINE_AT + INLINE_BYTES;

const TWO_32 = 2 ** 32;

/** Places in a request: in doubles for DOUBLE_, in 64-bit words for LONG_, in 32-bit words otherwise. */
const Field = {
  DOUBLE_WR_ID: 0,
  OPCODE: 2,
  FLAGS: 3,
  SGE_COUNT: 4,
  FIRST_SGE: 5,
  IMM_OR_RKEY: 6,
  RKEY: 7,
  REMOTE_ADDR: 8,
  LONG_COMPARE_ADD: 5,
  LONG_SWAP: 6,
  AH: 14,
  REMOTE_QPN: 15,
  REMOTE_QKEY: 16,
  MW: 17,
  MR: 18,
  BIND_ACCESS: 19,
  BIND_ADDR: 20,
  DOUBLE_BIND_LENGTH: 11,
} as const;

export class RequestBuffer {
  /** Complete requests. */
  count = 0;
  #sgeCount = 0;
  #inlineUsed = 0;
  /** Of the request that is being written. */
  #firstSge = 0;
  #at = 0;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #longs: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #inlineAddress: number;

  constructor(addon: VerbsAddon) {
    this.#bytes = new Uint8Array(new ArrayBuffer(TOTAL_BYTES));
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#doubles = new Float64Array(this.#bytes.buffer, 0, TOTAL_BYTES >> 3);
    this.#longs = new BigUint64Array(this.#bytes.buffer, 0, TOTAL_BYTES >> 3);
    const address = addon.useBuffer(this.#bytes);
    if (address === undefined) throw new Error('the addon and this package are of different versions');
    this.#inlineAddress = address + INLINE_AT;
  }

  /** How many requests of the last call were posted. */
  get posted(): number {
    return this.#words[0] ?? 0;
  }

  /** Whether one more request with this many SGEs and inline bytes has room. */
  hasRoom(sges: number, inlineBytes: number): boolean {
    return (
      this.count < MAX_REQUESTS &&
      this.#sgeCount + sges <= MAX_SGES &&
      this.#inlineUsed + inlineBytes <= INLINE_BYTES
    );
  }

  reset(): void {
    this.count = 0;
    this.#sgeCount = 0;
    this.#inlineUsed = 0;
  }

  /** Starts a request; what is not set afterwards is 0. */
  begin(wrId: number, opcode: number, flags: number): void {
    const at = (REQUESTS_AT + this.count * REQUEST_BYTES) >> 2;
    const words = this.#words;
    this.#at = at;
    this.#firstSge = this.#sgeCount;
    this.#doubles[(at >> 1) + Field.DOUBLE_WR_ID] = wrId;
    words[at + Field.OPCODE] = opcode;
    words[at + Field.FLAGS] = flags;
    words[at + Field.IMM_OR_RKEY] = 0;
    words[at + Field.RKEY] = 0;
    words[at + Field.REMOTE_ADDR] = 0;
    words[at + Field.REMOTE_ADDR + 1] = 0;
    words[at + Field.AH] = 0;
  }

  /** `address` is a number below 2^53. */
  addSge(address: number, length: number, lkey: number): void {
    const at = (SGES_AT + this.#sgeCount * SGE_BYTES) >> 2;
    const words = this.#words;
    words[at] = address;
    words[at + 1] = address / TWO_32;
    words[at + 2] = length;
    words[at + 3] = lkey;
    this.#sgeCount++;
  }

  addInline(data: Uint8Array): void {
    this.#bytes.set(data, INLINE_AT + this.#inlineUsed);
    this.addSge(this.#inlineAddress + this.#inlineUsed, data.length, 0);
    this.#inlineUsed += data.length;
  }

  setImmediate(value: number): void {
    this.#words[this.#at + Field.IMM_OR_RKEY] = value;
  }

  /** Both forms are checked by the caller. */
  setRemote(address: number | bigint, rkey: number): void {
    const at = this.#at;
    if (typeof address === 'bigint') this.#longs[(at + Field.REMOTE_ADDR) >> 1] = address;
    else {
      this.#words[at + Field.REMOTE_ADDR] = address;
      this.#words[at + Field.REMOTE_ADDR + 1] = address / TWO_32;
    }
    this.#words[at + Field.RKEY] = rkey;
  }

  setAtomic(compareAdd: bigint, swap: bigint): void {
    this.#longs[(this.#at >> 1) + Field.LONG_COMPARE_ADD] = compareAdd;
    this.#longs[(this.#at >> 1) + Field.LONG_SWAP] = swap;
  }

  setDatagram(ah: number, qpn: number, qkey: number): void {
    this.#words[this.#at + Field.AH] = ah;
    this.#words[this.#at + Field.REMOTE_QPN] = qpn;
    this.#words[this.#at + Field.REMOTE_QKEY] = qkey;
  }

  setBinding(mw: number, mr: number, address: number, length: number, access: number, rkey: number): void {
    const at = this.#at;
    const words = this.#words;
    words[at + Field.MW] = mw;
    words[at + Field.MR] = mr;
    words[at + Field.BIND_ACCESS] = access;
    words[at + Field.BIND_ADDR] = address;
    words[at + Field.BIND_ADDR + 1] = address / TWO_32;
    this.#doubles[(at >> 1) + Field.DOUBLE_BIND_LENGTH] = length;
    words[at + Field.RKEY] = rkey;
  }

  /** The request is complete. */
  commit(): void {
    const at = this.#at;
    this.#words[at + Field.SGE_COUNT] = this.#sgeCount - this.#firstSge;
    this.#words[at + Field.FIRST_SGE] = this.#firstSge;
    this.count++;
  }

  /** Forgets the request that was begun and not committed. */
  abandon(): void {
    this.#sgeCount = this.#firstSge;
  }

  readCompletion(index: number, into: WorkCompletion): void {
    const at = (COMPLETIONS_AT + index * COMPLETION_BYTES) >> 2;
    const words = this.#words;
    into.wrId = ((words[at + 1] as number) | 0) * TWO_32 + (words[at] as number);
    into.status = words[at + 2] as number;
    into.opcode = words[at + 3] as number;
    into.vendorErr = words[at + 4] as number;
    into.byteLen = words[at + 5] as number;
    into.imm = words[at + 6] as number;
    into.invalidatedRkey = words[at + 6] as number;
    into.qpn = words[at + 7] as number;
    into.srcQpn = words[at + 8] as number;
    into.flags = words[at + 9] as number;
  }
}

let shared: RequestBuffer | undefined;

export function requestBuffer(addon: VerbsAddon): RequestBuffer {
  shared ??= new RequestBuffer(addon);
  return shared;
}
