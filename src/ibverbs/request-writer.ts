/** Writes verbs requests into the shared buffer, after the checks that all devices make. */

import { RdmaError, usageError } from '../verbs/errors.js';
import {
  foreignAddressHandle,
  foreignBinding,
  foreignRegion,
  tooLong,
  tooManySges,
  tooMuchInline,
  wrongWrId,
} from '../verbs/misuse.js';
import type { QpType } from '../verbs/qp-state.js';
import { checkSendRequest, sgeLength } from '../verbs/request-checks.js';
import {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  type Sge,
  type WindowBinding,
} from '../verbs/work-request.js';
import { IbverbsAh } from './ibverbs-ah.js';
import { IbverbsMr, IbverbsMw } from './ibverbs-memory.js';
import type { RequestBuffer } from './request-buffer.js';
import type { VerbsContext } from './verbs-context.js';
import { Errno, verbError } from './verbs-error.js';

/** In constants of this file, because compiled code has to look up whatever is imported, at every use. */
const lengthOf = sgeLength;
const checkRequest = checkSendRequest;
const Region = IbverbsMr;

const INLINE_FLAG = 8;
/** Those that libibverbs has. */
const VERBS_FLAGS = SendFlags.FENCE | SendFlags.SIGNALED | SendFlags.SOLICITED;
const MAX_MESSAGE_BYTES = 2 ** 31;
const MAX_ADDRESS = 2n ** 64n;
const NO_SGES: readonly Sge[] = [];

export interface SendLimits {
  readonly type: QpType;
  readonly maxSge: number;
  readonly maxInline: number;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, with the buffer as it was. */
export function writeSend(buffer: RequestBuffer, device: VerbsContext, request: SendWorkRequest): void {
  const inline = request.inlineData;
  const flags = ((request.flags ?? 0) & VERBS_FLAGS) | (inline === undefined ? 0 : INLINE_FLAG);
  buffer.begin(request.wrId, request.opcode, flags, request.imm ?? request.invalidateRkey ?? 0);
  if (inline !== undefined) buffer.addInline(inline);
  else if (request.sges !== undefined) addSges(buffer, device, request.sges);
  if (request.remoteAddr !== undefined) {
    checkAddress(request.remoteAddr);
    buffer.setRemote(request.remoteAddr, request.rkey ?? 0);
  }
  if (request.compareAdd !== undefined) {
    buffer.setAtomic(BigInt.asUintN(64, request.compareAdd), BigInt.asUintN(64, request.swap ?? 0n));
  }
  if (request.ah !== undefined) writeDatagram(buffer, device, request);
  if (request.bind !== undefined) writeBinding(buffer, device, request.bind);
  buffer.commit();
}

/** What is wrong with a request for a queue pair of these limits. @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkSend(request: SendWorkRequest, limits: SendLimits): void {
  checkRequest(request, limits.type);
  const inline = request.inlineData;
  if (inline !== undefined && inline.length > limits.maxInline) {
    throw tooMuchInline(inline.length, limits.maxInline);
  }
  const sges = request.sges;
  if (sges !== undefined && sges.length > limits.maxSge) {
    throw tooManySges(sges.length, 'maxSendSge', limits.maxSge);
  }
}

export function writeReceive(buffer: RequestBuffer, device: VerbsContext, request: ReceiveWorkRequest): void {
  buffer.begin(request.wrId, 0, 0, 0);
  addSges(buffer, device, request.sges ?? NO_SGES);
  buffer.commit();
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkReceive(request: ReceiveWorkRequest, maxSge: number): void {
  if (!Number.isSafeInteger(request.wrId)) throw wrongWrId();
  const count = request.sges?.length ?? 0;
  if (count > maxSge) throw tooManySges(count, 'the limit', maxSge);
}

function addSges(buffer: RequestBuffer, device: VerbsContext, sges: readonly Sge[]): void {
  let total = 0;
  for (let i = 0; i < sges.length; i++) {
    const sge = sges[i] as Sge;
    const length = lengthOf(sge);
    const mr = sge.mr;
    if (mr === undefined || mr === null) throw foreignRegion();
    // In this order: once the device was read, compiled code knows what `mr` is, and need not search its prototypes.
    if ((mr as IbverbsMr).device !== device || !(mr instanceof Region)) throw foreignRegion();
    total += length;
    if (total > MAX_MESSAGE_BYTES) throw tooLong(total);
    buffer.addSge(mr, sge.offset ?? 0, length);
  }
}

function writeDatagram(buffer: RequestBuffer, device: VerbsContext, request: SendWorkRequest): void {
  const { ah } = request;
  if (!(ah instanceof IbverbsAh) || ah.pd.device !== device) {
    throw foreignAddressHandle();
  }
  if (ah.closed) throw new RdmaError('ERR_RDMA_CLOSED', 'the address handle is closed; open a new one');
  buffer.setDatagram(ah.handle, request.remoteQpn ?? 0, request.remoteQkey ?? 0);
}

function writeBinding(buffer: RequestBuffer, device: VerbsContext, bind: WindowBinding): void {
  const { mw, mr } = bind;
  if (
    !(mw instanceof IbverbsMw) ||
    mw.pd.device !== device ||
    !(mr instanceof IbverbsMr) ||
    mr.device !== device
  ) {
    throw foreignBinding();
  }
  if (mw.closed || mr.closed) {
    throw new RdmaError('ERR_RDMA_CLOSED', 'the memory window or region of a BIND_MW is closed');
  }
  buffer.setBinding(mw.handle, mr.handle, mr.base + bind.offset, bind.length, bind.access, bind.rkey);
}

function checkAddress(address: number | bigint): void {
  const isAddress =
    typeof address === 'bigint'
      ? address >= 0n && address < MAX_ADDRESS
      : Number.isSafeInteger(address) && address >= 0;
  if (!isAddress) {
    throw usageError(
      `remoteAddr must be an address from 0 to 2^64 - 1 (2^53 - 1 as a number), not ${address}`,
    );
  }
}

const POST_INVALID =
  'check its number of SGEs, the alignment of an atomic (8 bytes), and that the device offers the operation';

/** For a post call that the device refused. */
export function postError(what: string, device: VerbsContext, errno: number): RdmaError {
  return verbError(`posting to the ${what} of a queue pair on ${device.name}`, errno, {
    invalid: POST_INVALID,
    codes: { [Errno.ENOMEM]: 'ERR_RDMA_QUEUE_FULL', [Errno.EAGAIN]: 'ERR_RDMA_QUEUE_FULL' },
    hints: { [Errno.ENOMEM]: FULL, [Errno.EAGAIN]: FULL },
  });
}

const FULL =
  'the queue is full; poll completions before posting more, and signal at least one request of a queue';
