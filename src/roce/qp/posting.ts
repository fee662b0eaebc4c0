/**
 * Posting: turns work requests into elements of a send queue and into receives, after every check that a program can
 * fail.
 *
 * Requests have the form of the verbs. What they name, memory, windows and destinations, is the engine's own, or a
 * device's handles, which `Handles` finds the engine's objects behind; so nothing is copied from one form to another.
 *
 * Invariant: a request that is refused changes no queue.
 */

import { RdmaError, usageError } from '../../verbs/errors.js';
import { tooLong, tooManySges, tooMuchInline, wrongWrId } from '../../verbs/misuse.js';
import type { QpType } from '../../verbs/qp-state.js';
import { checkSendRequest, type Sized, sgeLength } from '../../verbs/request-checks.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  type Sge,
  type WindowBinding,
  WrOpcode,
} from '../../verbs/work-request.js';
import type { Flow } from '../flow.js';
import type { Region } from '../memory/region.js';
import type { BindRequest, Window } from './bind-request.js';
import type { ReceiveQueue } from './receive-queue.js';
import { isAtomic } from './request-opcodes.js';
import type { RareFields, SendQueue, SendWqe } from './send-queue.js';

/** Requests that name objects of the engine. */
export type EngineSend = SendWorkRequest<Region, Window, Flow>;
export type EngineReceive = ReceiveWorkRequest<Region>;
export type EngineSge = Sge<Region>;

/** Finds the engine's objects behind what requests name. Throws for what belongs to another device. */
export interface Handles<Mr, Mw, Ah> {
  region(mr: Mr): Region;
  flow(ah: Ah): Flow;
  binding(binding: WindowBinding<Mr, Mw>): BindRequest;
}

/** For requests that name objects of the engine. */
export const OWN_HANDLES: Handles<Region, Window, Flow> = {
  region: (region) => region,
  flow: (flow) => flow,
  binding: (binding) => binding,
};

const MAX_MESSAGE_BYTES = 2 ** 31;
const NO_SGES: readonly never[] = [];

/** @throws RdmaError for a request that cannot be right, and when the queue is full. */
export function enqueueSend<Mr extends Sized, Mw, Ah>(
  queue: SendQueue,
  type: QpType,
  request: SendWorkRequest<Mr, Mw, Ah>,
  handles: Handles<Mr, Mw, Ah>,
): void {
  checkSendRequest(request, type);
  if (queue.full) {
    const message = `the send queue holds ${queue.maxWr} requests already; poll completions before posting more`;
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', message);
  }
  // What is reserved counts only after `commit`, so it may throw in between.
  const wqe = queue.reserve();
  const flags = request.flags ?? 0;
  wqe.wrId = request.wrId;
  wqe.opcode = request.opcode;
  wqe.signaled = queue.signalAll || (flags & SendFlags.SIGNALED) !== 0;
  wqe.isAwaited = wqe.signaled && (flags & SendFlags.UNHURRIED) === 0;
  wqe.fence = (flags & SendFlags.FENCE) !== 0;
  wqe.solicited = (flags & SendFlags.SOLICITED) !== 0;
  fillRemoteVa(wqe, request.remoteAddr ?? 0);
  wqe.rkey = request.rkey ?? 0;
  wqe.imm = request.imm ?? 0;
  wqe.length = fillPayload(queue, wqe, request, handles);
  if (request.invalidateRkey !== undefined) wqe.rare.invalidateRkey = request.invalidateRkey;
  if (request.compareAdd !== undefined)
    fillAtomic(wqe.rare, request.opcode, request.compareAdd, request.swap ?? 0n);
  if (request.bind !== undefined) wqe.bind = handles.binding(request.bind);
  if (request.ah !== undefined) {
    wqe.flow = handles.flow(request.ah);
    const { rare } = wqe;
    rare.destQpn = request.remoteQpn ?? 0;
    rare.qkey = request.remoteQkey ?? 0;
  }
  queue.commit();
}

/** @throws RdmaError for a request that cannot be right, and when the queue is full. `what`: what a person calls it. */
export function enqueueReceive<Mr extends Sized, Mw, Ah>(
  queue: ReceiveQueue,
  what: string,
  request: ReceiveWorkRequest<Mr>,
  handles: Handles<Mr, Mw, Ah>,
): void {
  if (!Number.isSafeInteger(request.wrId)) throw wrongWrId();
  if (queue.full) {
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', `the ${what} holds ${queue.maxWr} requests already`);
  }
  const sges: readonly Sge<Mr>[] = request.sges ?? NO_SGES;
  if (sges.length > queue.sges.maxSge) {
    throw tooManySges(sges.length, 'the limit', queue.sges.maxSge);
  }
  // Everything that can throw comes before the slot is taken.
  if (sges.length === 1) {
    const sge = sges[0] as Sge<Mr>;
    const length = sgeLength(sge);
    const region = handles.region(sge.mr);
    const offset = sge.offset ?? 0;
    queue.sges.add(queue.push(request.wrId), region, offset, length);
    return;
  }
  for (const sge of sges) {
    sgeLength(sge);
    handles.region(sge.mr);
  }
  const slot = queue.push(request.wrId);
  for (const sge of sges) queue.sges.add(slot, handles.region(sge.mr), sge.offset ?? 0, sgeLength(sge));
}

/** Returns the length of the message. */
function fillPayload<Mr extends Sized, Mw, Ah>(
  queue: SendQueue,
  wqe: SendWqe,
  request: SendWorkRequest<Mr, Mw, Ah>,
  handles: Handles<Mr, Mw, Ah>,
): number {
  if (request.inlineData !== undefined) {
    const { length } = request.inlineData;
    if (length > queue.maxInline) {
      throw tooMuchInline(length, queue.maxInline);
    }
    queue.setInline(wqe, request.inlineData);
    return length;
  }
  const sges = request.sges;
  if (sges === undefined) return isAtomic(request.opcode) ? 8 : 0;
  if (sges.length > queue.sges.maxSge) {
    throw tooManySges(sges.length, 'maxSendSge', queue.sges.maxSge);
  }
  let total = 0;
  for (const sge of sges) {
    const length = sgeLength(sge);
    queue.sges.add(wqe.slot, handles.region(sge.mr), sge.offset ?? 0, length);
    total += length;
  }
  if (total > MAX_MESSAGE_BYTES) throw tooLong(total);
  // The result of an atomic is 8 bytes, whatever room there is: too little of it is LOC_LEN_ERR.
  return isAtomic(request.opcode) ? 8 : total;
}

/** A number costs nothing; a bigint is for addresses above 2^53 - 1, which Linux gives to memory of its own. */
function fillRemoteVa(wqe: SendWqe, address: number | bigint): void {
  if (typeof address === 'number') {
    if (!Number.isSafeInteger(address) || address < 0) throw wrongAddress(address);
    wqe.remoteVaHigh = Math.floor(address / WORD);
    wqe.remoteVaLow = address >>> 0;
    return;
  }
  if (address !== BigInt.asUintN(64, address)) throw wrongAddress(address);
  wqe.remoteVaHigh = Number(address >> 32n);
  wqe.remoteVaLow = Number(address & 0xffffffffn);
}

const WORD = 0x1_0000_0000;

const wrongAddress = (address: number | bigint): RdmaError =>
  usageError(`remoteAddr must be an address from 0 to 2^64 - 1 (2^53 - 1 as a number), not ${address}`);

function fillAtomic(rare: RareFields, opcode: number, compareAdd: bigint, swap: bigint): void {
  const isSwap = opcode === WrOpcode.ATOMIC_CMP_AND_SWP;
  const swapAdd = BigInt.asUintN(64, isSwap ? swap : compareAdd);
  const compare = isSwap ? BigInt.asUintN(64, compareAdd) : 0n;
  rare.swapAddHigh = Number(swapAdd >> 32n);
  rare.swapAddLow = Number(swapAdd & 0xffffffffn);
  rare.compareHigh = Number(compare >> 32n);
  rare.compareLow = Number(compare & 0xffffffffn);
}
