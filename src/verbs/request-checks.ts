/**
 * What is wrong with a work request before any device looks at it. Every device checks posted requests here, so that
 * all of them refuse the same calls with the same words.
 */

import { REMOTE_ACCESS } from './access-flags.js';
import { QPN_MASK } from './brands.js';
import { usageError } from './errors.js';
import { wrongWrId } from './misuse.js';
import { QpType, qpTypeName } from './qp-state.js';
import { type SendWorkRequest, type Sge, type WindowBinding, WrOpcode } from './work-request.js';

const OPCODE_NAMES = new Map<number, string>(Object.entries(WrOpcode).map(([name, value]) => [value, name]));
export const wrOpcodeName = (opcode: number): string => OPCODE_NAMES.get(opcode) ?? `opcode ${opcode}`;

/** Opcodes are the integers from 0 to this. */
const LAST_OPCODE = OPCODE_NAMES.size - 1;
const { SEND, SEND_WITH_IMM, ATOMIC_CMP_AND_SWP, ATOMIC_FETCH_AND_ADD } = WrOpcode;
const RC_ONLY = new Set<number>([
  WrOpcode.RDMA_READ,
  ATOMIC_CMP_AND_SWP,
  ATOMIC_FETCH_AND_ADD,
  WrOpcode.SEND_WITH_INV,
  WrOpcode.LOCAL_INV,
  WrOpcode.BIND_MW,
]);
const { RC } = QpType;

/** Memory with a length, whatever device it is of. */
export interface Sized {
  readonly length: number;
}

/** What is checked is no object of a device. */
type AnySend = SendWorkRequest<unknown, unknown, unknown>;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the field. */
export function checkSendRequest(request: AnySend, type: QpType): void {
  const { opcode } = request;
  if (!Number.isSafeInteger(request.wrId)) throw wrongWrId();
  if (!Number.isSafeInteger(opcode) || opcode < 0 || opcode > LAST_OPCODE) throw notOpcode(opcode);
  if (type !== RC) checkUnreliable(request, type);
  checkNumbers(request);
  if (opcode !== SEND && opcode !== SEND_WITH_IMM) checkOperands(request);
  if (request.inlineData !== undefined) checkInline(request);
}

/** What operations other than plain sends cannot do without. */
function checkOperands(request: AnySend): void {
  const { opcode } = request;
  switch (opcode) {
    case WrOpcode.RDMA_WRITE:
    case WrOpcode.RDMA_WRITE_WITH_IMM:
    case WrOpcode.RDMA_READ:
    case ATOMIC_CMP_AND_SWP:
    case ATOMIC_FETCH_AND_ADD:
      if (request.remoteAddr === undefined) throw missing(opcode, 'remoteAddr');
      if (request.rkey === undefined) throw missing(opcode, 'rkey');
      break;
    case WrOpcode.SEND_WITH_INV:
    case WrOpcode.LOCAL_INV:
      if (request.invalidateRkey === undefined) throw missing(opcode, 'invalidateRkey');
      break;
    case WrOpcode.BIND_MW:
      if (request.bind === undefined) throw missing(opcode, 'bind');
      checkBinding(request.bind);
      break;
    default:
  }
  if (opcode === ATOMIC_CMP_AND_SWP && request.swap === undefined) throw missing(opcode, 'swap');
  if (opcode >= ATOMIC_CMP_AND_SWP && opcode <= ATOMIC_FETCH_AND_ADD) {
    if (request.compareAdd === undefined) throw missing(opcode, 'compareAdd');
  }
}

/** Length of a piece after its defaults. @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless both are integers ≥ 0. */
export function sgeLength(sge: Sge<Sized>): number {
  const offset = sge.offset ?? 0;
  const length = sge.length ?? sge.mr.length - offset;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw usageError(`an SGE needs an offset and a length of 0 or more, not ${offset} and ${length}`);
  }
  return length;
}

/** What goes into the packet must fit its field: cut to size it would name something else. */
function checkNumbers({ rkey, imm, invalidateRkey, remoteQpn, remoteQkey }: AnySend): void {
  if (rkey !== undefined) checkUnsigned('rkey', rkey, 0xffffffff);
  if (imm !== undefined) checkUnsigned('imm', imm, 0xffffffff);
  if (invalidateRkey !== undefined) checkUnsigned('invalidateRkey', invalidateRkey, 0xffffffff);
  if (remoteQpn !== undefined) checkUnsigned('remoteQpn', remoteQpn, QPN_MASK);
  if (remoteQkey !== undefined) checkUnsigned('remoteQkey', remoteQkey, 0xffffffff);
}

function checkUnsigned(name: string, value: number, max: number): void {
  if (value >>> 0 === value && value <= max) return;
  throw usageError(`${name} must be an integer from 0 to 0x${max.toString(16)}, not ${value}`);
}

function checkBinding({ offset, length, access, rkey }: WindowBinding<unknown, unknown>): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw usageError(`BIND_MW needs an offset and a length of 0 or more, not ${offset} and ${length}`);
  }
  if (access >>> 0 !== access || (access & ~REMOTE_ACCESS) !== 0) {
    throw usageError(`the access of a BIND_MW must be remote rights of AccessFlags, not ${access}`);
  }
  checkUnsigned('the rkey of a BIND_MW', rkey, 0xffffffff);
}

function checkInline(request: AnySend): void {
  if (request.opcode > WrOpcode.SEND_WITH_IMM && request.opcode !== WrOpcode.SEND_WITH_INV) {
    throw usageError(`${wrOpcodeName(request.opcode)} cannot carry inlineData: only SEND and RDMA_WRITE can`);
  }
  if (request.sges !== undefined && request.sges.length > 0) {
    throw usageError('give either sges or inlineData, not both');
  }
}

function checkUnreliable(request: AnySend, type: QpType): void {
  const { opcode } = request;
  const sendsOnly = type === QpType.UD && opcode !== WrOpcode.SEND && opcode !== WrOpcode.SEND_WITH_IMM;
  if (RC_ONLY.has(opcode) || sendsOnly) {
    throw usageError(`a ${qpTypeName(type)} queue pair cannot do ${wrOpcodeName(opcode)}`);
  }
  if (type !== QpType.UD) return;
  if (request.ah === undefined) throw missing(opcode, 'ah');
  if (request.remoteQpn === undefined) throw missing(opcode, 'remoteQpn');
  if (request.remoteQkey === undefined) throw missing(opcode, 'remoteQkey');
}

const notOpcode = (opcode: number): Error => usageError(`${opcode} is not a work request opcode`);

const missing = (opcode: number, field: string): Error =>
  usageError(`${wrOpcodeName(opcode)} needs ${field}`);
