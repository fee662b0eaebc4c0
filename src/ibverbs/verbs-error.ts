/**
 * Turns an errno of a verb into an error that says what to look at. The kernel answers most mistakes with EINVAL, so a
 * message names what was asked and what commonly is the reason.
 */
import { readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { RdmaError, type RdmaErrorCode } from '../verbs/errors.js';

export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOSPC: 28,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ETIMEDOUT: 110,
  EHOSTUNREACH: 113,
  ECANCELED: 125,
} as const;

const CODES = new Map<number, RdmaErrorCode>([
  [Errno.EPERM, 'ERR_RDMA_NO_DEVICE'],
  [Errno.EACCES, 'ERR_RDMA_NO_DEVICE'],
  [Errno.ENOENT, 'ERR_RDMA_NO_DEVICE'],
  [Errno.ENODEV, 'ERR_RDMA_NO_DEVICE'],
  [Errno.EAGAIN, 'ERR_RDMA_LIMIT'],
  [Errno.ENOMEM, 'ERR_RDMA_NO_MEMORY'],
  [Errno.EFAULT, 'ERR_RDMA_INVALID_ARGUMENT'],
  [Errno.EBUSY, 'ERR_RDMA_IN_USE'],
  [Errno.EINVAL, 'ERR_RDMA_INVALID_ARGUMENT'],
  [Errno.EMFILE, 'ERR_RDMA_LIMIT'],
  [Errno.ENOSPC, 'ERR_RDMA_LIMIT'],
  [Errno.ENOSYS, 'ERR_RDMA_NOT_SUPPORTED'],
  [Errno.EOPNOTSUPP, 'ERR_RDMA_NOT_SUPPORTED'],
  [Errno.EADDRNOTAVAIL, 'ERR_RDMA_ADDRESS'],
  [Errno.ENETUNREACH, 'ERR_RDMA_ADDRESS'],
  [Errno.ETIMEDOUT, 'ERR_RDMA_ADDRESS'],
  [Errno.EHOSTUNREACH, 'ERR_RDMA_ADDRESS'],
]);

const HINTS = new Map<number, string>([
  [Errno.EPERM, 'the process lacks a right: it needs access to /dev/infiniband, and CAP_IPC_LOCK or memlock'],
  [Errno.EACCES, 'no permission for /dev/infiniband/uverbs*: join the group that owns it (often rdma)'],
  [Errno.ENOENT, 'the device file in /dev/infiniband is missing: is the module ib_uverbs loaded?'],
  [Errno.ENODEV, 'the device is gone'],
  [Errno.EAGAIN, 'the device has no more of these; close some'],
  [Errno.ENOMEM, 'the device or the kernel has no memory left for it; close what is not needed'],
  [Errno.EBUSY, 'something still uses it; close that first'],
  [Errno.EMFILE, 'too many open files: look at `ulimit -n`'],
  [Errno.ENOSPC, 'the device has no more of these; close some'],
  [Errno.ENOSYS, 'the device or its kernel driver does not offer it'],
  [Errno.EOPNOTSUPP, 'the device or its kernel driver does not offer it'],
  [Errno.EADDRNOTAVAIL, 'the address is not of this machine'],
  [Errno.ENETUNREACH, 'there is no route to the address'],
  [Errno.ETIMEDOUT, 'nobody answered for the address (neighbour discovery)'],
  [Errno.EHOSTUNREACH, 'the address cannot be reached'],
]);

export interface ErrorContext {
  /** For EINVAL: what to check, as it depends on the verb alone. */
  readonly invalid?: string;
  /** For other numbers, in place of what is said otherwise. */
  readonly hints?: Readonly<Record<number, string>>;
  readonly codes?: Readonly<Record<number, RdmaErrorCode>>;
}

export const errnoName = (errno: number): string => {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
};

/** `what` says what failed: `registering 4096 bytes on mlx5_0`. `errno` is positive. */
export function verbError(what: string, errno: number, context: ErrorContext = {}): RdmaError {
  const code = context.codes?.[errno] ?? CODES.get(errno) ?? 'ERR_RDMA_INVALID_STATE';
  const general = errno === Errno.EINVAL ? context.invalid : HINTS.get(errno);
  const hint = context.hints?.[errno] ?? general ?? 'see the kernel log (dmesg)';
  return new RdmaError(code, `${what} failed with ${errnoName(errno)}: ${hint}`, {
    cause: { errno, name: errnoName(errno) },
  });
}

/** The memlock limit of this process as text, e.g. `8388608 bytes` or `unlimited`. */
export function memlockLimit(): string {
  try {
    const [, soft] = /^Max locked memory +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    if (soft === undefined) return 'unknown';
    return soft === 'unlimited' ? soft : `${soft} bytes`;
  } catch {
    return 'unknown';
  }
}
