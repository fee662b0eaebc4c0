/**
 * Access rights of memory regions, memory windows and queue pairs (`enum ibv_access_flags`). A remote operation
 * passes only if both the queue pair and the region allow it. Local reads need no flag.
 */
import { usageError } from './errors.js';

export const AccessFlags = {
  LOCAL_WRITE: 1,
  REMOTE_WRITE: 2,
  REMOTE_READ: 4,
  REMOTE_ATOMIC: 8,
  MW_BIND: 16,
  ZERO_BASED: 32,
} as const;

export const REMOTE_ACCESS = AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_ATOMIC;
const KNOWN_ACCESS = REMOTE_ACCESS | AccessFlags.LOCAL_WRITE | AccessFlags.MW_BIND | AccessFlags.ZERO_BASED;

/**
 * Checks the flags of a memory registration (`ibv_reg_mr`).
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for unknown bits, and for REMOTE_WRITE or REMOTE_ATOMIC without
 * LOCAL_WRITE: the device writes on the peer's behalf.
 */
export function checkRegionAccess(access: number): void {
  // A number above 32 bits would lose its high ones to `&`.
  if (access >>> 0 !== access || (access & ~KNOWN_ACCESS) !== 0) {
    throw usageError(`access ${access} is no combination of AccessFlags`);
  }
  const writes = AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;
  if ((access & writes) !== 0 && (access & AccessFlags.LOCAL_WRITE) === 0) {
    throw usageError('REMOTE_WRITE and REMOTE_ATOMIC need LOCAL_WRITE as well');
  }
}
