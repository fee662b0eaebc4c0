/**
 * The fast calls of the addon, and the memory that they share with this side: what is called for, requests in the order
 * of posting, their SGEs, inline data, and completions. The layout is that of native/ibverbs/data.cc. One buffer serves
 * all queue pairs, because a call that posts takes everything out of it before it returns.
 *
 * Invariant: a request and what belongs to it are counted when it is complete, so that one that turns out wrong half-way
 * leaves nothing.
 *
 * Arguments and results go through the memory, because Node-API takes longer to unpack an argument than to make the call.
 * Ids and addresses are written as two words each and stay integers on the way.
 */

import type { VerbsAddon } from '../native/verbs-addon.js';
import type { WorkCompletion } from '../verbs/work-completion.js';

export const MAX_REQUESTS = 64;
export const MAX_COMPLETIONS = 256;
const MAX_SGES = 1024;
const INLINE_BYTES = 65_536;

/** Words at the beginning: what a call is about, and its result, an errno or a count. */
const RESULT = 0;
const HANDLE = 1;
const COUNT = 2;
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
  WR_ID: 0,
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

/** Where a region begins in this process. */
export interface RegionAddress {
  readonly base: number;
  /** The lower and the upper half of `base`, both signed. */
  readonly baseLow: number;
  readonly baseHigh: number;
  readonly lkey: number;
}

export class RequestBuffer {
  /** Complete requests. */
  count = 0;
  #sgeCount = 0;
  #inlineUsed = 0;
  /** With those of the request that is being written. */
  #sgeEnd = 0;
  #inlineEnd = 0;
  /** Its place. */
  #at = 0;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #longs: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #inlineAddress: number;
  readonly #callPostSend: () => void;
  readonly #callPostRecv: () => void;
  readonly #callPostSrqRecv: () => void;
  readonly #callPollCq: () => void;
  readonly #callReqNotify: () => void;

  constructor(addon: VerbsAddon) {
    this.#bytes = new Uint8Array(new ArrayBuffer(TOTAL_BYTES));
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#doubles = new Float64Array(this.#bytes.buffer, 0, TOTAL_BYTES >> 3);
    this.#longs = new BigUint64Array(this.#bytes.buffer, 0, TOTAL_BYTES >> 3);
    const address = addon.useBuffer(this.#bytes);
    if (address === undefined) throw new Error('the addon and this package are of different versions');
    this.#inlineAddress = address + INLINE_AT;
    this.#callPostSend = addon.postSend;
    this.#callPostRecv = addon.postRecv;
    this.#callPostSrqRecv = addon.postSrqRecv;
    this.#callPollCq = addon.pollCq;
    this.#callReqNotify = addon.reqNotify;
  }

  /** Hands the complete requests to a queue pair and forgets them. 0 or an errno. */
  postSend(qp: number): number {
    this.#ask(qp, this.count);
    this.#callPostSend();
    this.reset();
    return this.#result();
  }

  postRecv(qp: number): number {
    this.#ask(qp, this.count);
    this.#callPostRecv();
    this.reset();
    return this.#result();
  }

  postSrqRecv(srq: number): number {
    this.#ask(srq, this.count);
    this.#callPostSrqRecv();
    this.reset();
    return this.#result();
  }

  /** How many completions can be read, `max` at most, or a negative errno. */
  pollCq(cq: number, max: number): number {
    this.#ask(cq, max);
    this.#callPollCq();
    return this.#result();
  }

  /** 0 or an errno. */
  reqNotify(cq: number, solicitedOnly: boolean): number {
    this.#ask(cq, solicitedOnly ? 1 : 0);
    this.#callReqNotify();
    return this.#result();
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

  /** Starts a request; what is not set afterwards is 0. One that was started and not committed is forgotten. */
  begin(wrId: number, opcode: number, flags: number): void {
    const at = (REQUESTS_AT + this.count * REQUEST_BYTES) >> 2;
    const words = this.#words;
    this.#at = at;
    this.#sgeEnd = this.#sgeCount;
    this.#inlineEnd = this.#inlineUsed;
    this.#setWide(at + Field.WR_ID, wrId);
    words[at + Field.OPCODE] = opcode;
    words[at + Field.FLAGS] = flags;
    words[at + Field.IMM_OR_RKEY] = 0;
    words[at + Field.RKEY] = 0;
    words[at + Field.REMOTE_ADDR] = 0;
    words[at + Field.REMOTE_ADDR + 1] = 0;
    words[at + Field.AH] = 0;
  }

  /** A piece of a region. `offset` is an integer from 0 on. */
  addSge(region: RegionAddress, offset: number, length: number): void {
    const at = this.#nextSge(length, region.lkey);
    const low = region.baseLow + (offset | 0);
    if ((offset | 0) !== offset) {
      this.#setWide(at, region.base + offset);
      return;
    }
    const words = this.#words;
    words[at] = low;
    words[at + 1] = region.baseHigh + ((low >>> 0) < offset ? 1 : 0);
  }

  addInline(data: Uint8Array): void {
    this.#bytes.set(data, INLINE_AT + this.#inlineEnd);
    this.#setWide(this.#nextSge(data.length, 0), this.#inlineAddress + this.#inlineEnd);
    this.#inlineEnd += data.length;
  }

  setImmediate(value: number): void {
    this.#words[this.#at + Field.IMM_OR_RKEY] = value;
  }

  /** Both forms are checked by the caller. */
  setRemote(address: number | bigint, rkey: number): void {
    const at = this.#at;
    if (typeof address === 'bigint') this.#longs[(at + Field.REMOTE_ADDR) >> 1] = address;
    else this.#setWide(at + Field.REMOTE_ADDR, address);
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
    this.#setWide(at + Field.BIND_ADDR, address);
    this.#doubles[(at >> 1) + Field.DOUBLE_BIND_LENGTH] = length;
    words[at + Field.RKEY] = rkey;
  }

  /** The request is complete. */
  commit(): void {
    const at = this.#at;
    this.#words[at + Field.SGE_COUNT] = this.#sgeEnd - this.#sgeCount;
    this.#words[at + Field.FIRST_SGE] = this.#sgeCount;
    this.#sgeCount = this.#sgeEnd;
    this.#inlineUsed = this.#inlineEnd;
    this.count++;
  }

  readCompletion(index: number, into: WorkCompletion): void {
    const at = (COMPLETIONS_AT + index * COMPLETION_BYTES) >> 2;
    const words = this.#words;
    const high = words[at + 1] as number;
    const low = words[at] as number;
    into.wrId = high === 0 ? low : (high | 0) * TWO_32 + low;
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

  #ask(handle: number, count: number): void {
    const words = this.#words;
    words[HANDLE] = handle;
    words[COUNT] = count;
    words[RESULT] = 0;
  }

  #result(): number {
    return (this.#words[RESULT] as number) | 0;
  }

  /** Writes what is not the address of an SGE. Returns the place of that. */
  #nextSge(length: number, lkey: number): number {
    const at = (SGES_AT + this.#sgeEnd * SGE_BYTES) >> 2;
    this.#words[at + 2] = length;
    this.#words[at + 3] = lkey;
    this.#sgeEnd++;
    return at;
  }

  /** An integer of up to 53 bits as two words; a negative one as the 64-bit number that it is for C. */
  #setWide(at: number, value: number): void {
    const words = this.#words;
    words[at] = value;
    words[at + 1] = (value | 0) === value ? value >> 31 : Math.floor(value / TWO_32);
  }
}

let shared: RequestBuffer | undefined;

export function requestBuffer(addon: VerbsAddon): RequestBuffer {
  shared ??= new RequestBuffer(addon);
  return shared;
}
