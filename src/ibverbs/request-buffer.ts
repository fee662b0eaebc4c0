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

const MAX_REQUESTS = 64;
/** Of one call. */
export const MAX_COMPLETIONS = 256;
const MAX_SGES = 1024;
const INLINE_BYTES = 65_536;

/** Words at the beginning: what a call is about, and its result, an errno or a count. */
const RESULT = 0;
const HANDLE = 1;
const COUNT = 2;
/** The rest, in words. */
const REQUESTS_AT = 16;
const REQUEST_WORDS = 24;
const SGES_AT = REQUESTS_AT + MAX_REQUESTS * REQUEST_WORDS;
const SGE_WORDS = 4;
const COMPLETIONS_AT = SGES_AT + MAX_SGES * SGE_WORDS;
const COMPLETION_WORDS = 12;
/** In bytes. */
const INLINE_AT = (COMPLETIONS_AT + MAX_COMPLETIONS * COMPLETION_WORDS) * 4;
const TOTAL_BYTES = INLINE_AT + INLINE_BYTES;

const TWO_32 = 2 ** 32;

/** The memory itself, in constants of this file: so compiled code knows where it lies and how long it is. */
const bytes = new Uint8Array(new ArrayBuffer(TOTAL_BYTES));
const words = new Int32Array(bytes.buffer);
const longs = new BigUint64Array(bytes.buffer);

/** Places of a request in 32-bit words, in 64-bit words for LONG_. Each operation has those that it needs. */
const WR_ID = 0;
const OPCODE = 2;
const FLAGS = 3;
const SGE_COUNT = 4;
const IMM_OR_RKEY = 5;
const RKEY = 6;
const AH = 7;
const REMOTE_ADDR = 8;
const LONG_COMPARE_ADD = 5;
const LONG_SWAP = 6;
const REMOTE_QPN = 14;
const REMOTE_QKEY = 15;
const MW = 16;
const MR = 17;
const BIND_ACCESS = 18;
const BIND_ADDR = 20;
const BIND_LENGTH = 22;

/** What an SGE says of its region. */
export interface RegionAddress {
  /** Where the region begins for its keys. */
  readonly base: number;
  /** The lower and the upper half of `base`, and the lkey, as signed words. */
  readonly baseLow: number;
  readonly baseHigh: number;
  readonly lkeyWord: number;
}

export class RequestBuffer {
  /** Complete requests. */
  count = 0;
  #sgeCount = 0;
  #inlineUsed = 0;
  /** With those of the request that is being written. */
  #sgeEnd = 0;
  #inlineEnd = 0;
  readonly #inlineAddress: number;
  readonly #callPostSend: () => void;
  readonly #callPostRecv: () => void;
  readonly #callPostSrqRecv: () => void;
  readonly #callPollCq: () => void;
  readonly #callReqNotify: () => void;

  constructor(addon: VerbsAddon) {
    const address = addon.useBuffer(bytes);
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
    ask(qp, this.count);
    const call = this.#callPostSend;
    call();
    this.#reset();
    return words[RESULT] as number;
  }

  postRecv(qp: number): number {
    ask(qp, this.count);
    const call = this.#callPostRecv;
    call();
    this.#reset();
    return words[RESULT] as number;
  }

  postSrqRecv(srq: number): number {
    ask(srq, this.count);
    const call = this.#callPostSrqRecv;
    call();
    this.#reset();
    return words[RESULT] as number;
  }

  /** How many completions can be read, `max` and 256 at most, or a negative errno. */
  pollCq(cq: number, max: number): number {
    ask(cq, max < MAX_COMPLETIONS ? max : MAX_COMPLETIONS);
    const call = this.#callPollCq;
    call();
    return words[RESULT] as number;
  }

  /** 0 or an errno. */
  reqNotify(cq: number, solicitedOnly: boolean): number {
    ask(cq, solicitedOnly ? 1 : 0);
    const call = this.#callReqNotify;
    call();
    return words[RESULT] as number;
  }

  /** Whether one more request with this many SGEs and inline bytes has room. */
  hasRoom(sges: number, inlineBytes: number): boolean {
    return (
      this.count < MAX_REQUESTS &&
      this.#sgeCount + sges <= MAX_SGES &&
      this.#inlineUsed + inlineBytes <= INLINE_BYTES
    );
  }

  #reset(): void {
    this.count = 0;
    this.#sgeCount = 0;
    this.#inlineUsed = 0;
  }

  /**
   * Starts a request. One that was started and not committed is forgotten.
   *
   * @param value the immediate data, or the rkey to invalidate
   */
  begin(wrId: number, opcode: number, flags: number, value: number): void {
    const at = requestAt(this.count);
    this.#sgeEnd = this.#sgeCount;
    this.#inlineEnd = this.#inlineUsed;
    setWide(at + WR_ID, wrId);
    words[at + OPCODE] = opcode | 0;
    words[at + FLAGS] = flags | 0;
    words[at + IMM_OR_RKEY] = value | 0;
  }

  /** A piece of a region. `offset` is an integer from 0 on, `length` one up to 2^31. */
  addSge(region: RegionAddress, offset: number, length: number): void {
    const at = this.#nextSge(length, region.lkeyWord);
    if ((offset | 0) !== offset) {
      setWide(at, region.base + offset);
      return;
    }
    const low = (region.baseLow + offset) | 0;
    words[at] = low;
    words[at + 1] = (region.baseHigh | 0) + (low >>> 0 < offset ? 1 : 0);
  }

  addInline(data: Uint8Array): void {
    bytes.set(data, INLINE_AT + this.#inlineEnd);
    setWide(this.#nextSge(data.length, 0), this.#inlineAddress + this.#inlineEnd);
    this.#inlineEnd += data.length;
  }

  /** Both forms are checked by the caller. */
  setRemote(address: number | bigint, rkey: number): void {
    const at = requestAt(this.count);
    if (typeof address === 'bigint') longs[(at + REMOTE_ADDR) >> 1] = address;
    else setWide(at + REMOTE_ADDR, address);
    words[at + RKEY] = rkey | 0;
  }

  setAtomic(compareAdd: bigint, swap: bigint): void {
    const at = requestAt(this.count);
    longs[(at >> 1) + LONG_COMPARE_ADD] = compareAdd;
    longs[(at >> 1) + LONG_SWAP] = swap;
  }

  setDatagram(ah: number, qpn: number, qkey: number): void {
    const at = requestAt(this.count);
    words[at + AH] = ah;
    words[at + REMOTE_QPN] = qpn;
    words[at + REMOTE_QKEY] = qkey | 0;
  }

  setBinding(mw: number, mr: number, address: number, length: number, access: number, rkey: number): void {
    const at = requestAt(this.count);
    words[at + MW] = mw;
    words[at + MR] = mr;
    words[at + BIND_ACCESS] = access;
    setWide(at + BIND_ADDR, address);
    setWide(at + BIND_LENGTH, length);
    words[at + RKEY] = rkey | 0;
  }

  /** The request is complete. */
  commit(): void {
    words[requestAt(this.count) + SGE_COUNT] = this.#sgeEnd - this.#sgeCount;
    this.#sgeCount = this.#sgeEnd;
    this.#inlineUsed = this.#inlineEnd;
    this.count++;
  }

  readCompletion(index: number, into: WorkCompletion): void {
    const at = (COMPLETIONS_AT + index * COMPLETION_WORDS) | 0;
    const low = words[at] as number;
    const high = words[at + 1] as number;
    // Either of two things: one number.
    const value = (words[at + 6] as number) >>> 0;
    into.wrId = low >> 31 === high ? low : high * TWO_32 + (low >>> 0);
    into.status = words[at + 2] as number;
    into.opcode = words[at + 3] as number;
    into.vendorErr = (words[at + 4] as number) >>> 0;
    into.byteLen = (words[at + 5] as number) >>> 0;
    into.imm = value;
    into.invalidatedRkey = value;
    into.qpn = words[at + 7] as number;
    into.srcQpn = words[at + 8] as number;
    into.flags = words[at + 9] as number;
  }

  /** Writes what is not the address of an SGE. Returns the place of that. */
  #nextSge(length: number, lkeyWord: number): number {
    const at = (SGES_AT + this.#sgeEnd * SGE_WORDS) | 0;
    words[at + 2] = length | 0;
    words[at + 3] = lkeyWord | 0;
    this.#sgeEnd++;
    return at;
  }
}

const requestAt = (index: number): number => (REQUESTS_AT + index * REQUEST_WORDS) | 0;

const ask = (handle: number, count: number): void => {
  words[HANDLE] = handle | 0;
  words[COUNT] = count | 0;
};

/** An integer of up to 53 bits as two words; a negative one as the 64-bit number that it is for C. */
const setWide = (at: number, value: number): void => {
  const low = value | 0;
  words[at] = low;
  words[at + 1] = low === value ? low >> 31 : Math.floor(value / TWO_32);
};

let shared: RequestBuffer | undefined;

export function requestBuffer(addon: VerbsAddon): RequestBuffer {
  shared ??= new RequestBuffer(addon);
  return shared;
}
