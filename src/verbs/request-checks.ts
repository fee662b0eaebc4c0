/**
 * What is wrong with a work request before any device looks at it. Every device checks posted requests here, so that
 * all of them refuse the same calls with the same words.
 */
import { REMOTE_ACCESS } from './access-flags.js';
import { QPN_MASK } from './brands.js';
import { usageError } from './errors.js';
import { QpType, qpTypeName } from './qp-state.js';
import { type SendWorkRequest, type Sge, type WindowBinding, WrOpcode } from './work-request.js';

const OPCODE_NAMES = new Map<number, string>(Object.entries(WrOpcode).map(([name, value]) => [value, name]));
export const wrOpcodeName = (opcode: number): string => OPCODE_NAMES.get(opcode) ?? `opcode ${opcode}`;

const RC_ONLY = new Set<number>([
  WrOpcode.RDMA_READ,
  WrOpcode.ATOMIC_CMP_AND_SWP,
  WrOpcode.ATOMIC_FETCH_AND_ADD,
  WrOpcode.SEND_WITH_INV,
  WrOpcode.LOCAL_INV,
  WrOpcode.BIND_MW,
]);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the field. */
export function checkSendRequest(request: SendWorkRequest, type: QpType): void {
  const { opcode } = request;
  if (!Number.isSafeInteger(request.wrId)) throw usageError('wrId must be a safe integer');
  if (!OPCODE_NAMES.has(opcode)) throw usageError(`${opcode} is not a work request opcode`);
  if (type !== QpType.RC) checkUnreliable(request, type);
  checkNumbers(request);
  switch (opcode) {
    case WrOpcode.RDMA_WRITE:
    case WrOpcode.RDMA_WRITE_WITH_IMM:
    case WrOpcode.RDMA_READ:
    case WrOpcode.ATOMIC_CMP_AND_SWP:
    case WrOpcode.ATOMIC_FETCH_AND_ADD:
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
  if (opcode === WrOpcode.ATOMIC_CMP_AND_SWP && request.swap === undefined) throw missing(opcode, 'swap');
  if (opcode >= WrOpcode.ATOMIC_CMP_AND_SWP && opcode <= WrOpcode.ATOMIC_FETCH_AND_ADD) {
    if (request.compareAdd === undefined) throw missing(opcode, 'compareAdd');
  }
  if (request.inlineData !== undefined) checkInline(request);
}

/** Length of a piece after its defaults. @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless both are integers ≥ 0. */
export function sgeLength(sge: Sge): number {
  const offset = sge.offset ?? 0;
  const length = sge.length ?? sge.mr.length - offset;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw usageError(`an SGE needs an offset and a length of 0 or more, not ${offset} and ${length}`);
  }
  return length;
}

/** What goes into the packet must fit its field: cut to size it would name something else. */
function checkNumbers({ rkey, imm, invalidateRkey, remoteQpn, remoteQkey }: SendWorkRequest): void {
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

function checkBinding({ offset, length, access, rkey }: WindowBinding): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw usageError(`BIND_MW needs an offset and a length of 0 or more, not ${offset} and ${length}`);
  }
  if (access >>> 0 !== access || (access & ~REMOTE_ACCESS) !== 0) {
    throw usageError(`the access of a BIND_MW must be remote rights of AccessFlags, not ${access}`);
  }
  checkUnsigned('the rkey of a BIND_MW', rkey, 0xffffffff);
}

function checkInline(request: SendWorkRequest): void {
  if (request.opcode > WrOpcode.SEND_WITH_IMM && request.opcode !== WrOpcode.SEND_WITH_INV) {
    throw usageError(`${wrOpcodeName(request.opcode)} cannot carry inlineData: only SEND and RDMA_WRITE can`);
  }
  if (request.sges !== undefined && request.sges.length > 0) {
    throw usageError('give either sges or inlineData, not both');
  }
}

function checkUnreliable(request: SendWorkRequest, type: QpType): void {
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

const missing = (opcode: number, field: string): Error =>
  usageError(`${wrOpcodeName(opcode)} needs ${field}`);
