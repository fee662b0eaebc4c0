/** What the attributes of a queue pair may be, and what they stand for. */
import { AccessFlags } from '../../verbs/access-flags.js';
import { usageError } from '../../verbs/errors.js';
import { toPathMtu } from '../../verbs/mtu.js';
import type { QpAttributes } from '../../verbs/qp-attributes.js';

const REMOTE_RIGHTS =
  AccessFlags.LOCAL_WRITE |
  AccessFlags.REMOTE_WRITE |
  AccessFlags.REMOTE_READ |
  AccessFlags.REMOTE_ATOMIC |
  AccessFlags.MW_BIND;

const RANGES = {
  pkeyIndex: 0,
  minRnrTimer: 31,
  timeout: 31,
  retryCount: 7,
  rnrRetry: 7,
  maxRdAtomic: 255,
  maxDestRdAtomic: 255,
  accessFlags: REMOTE_RIGHTS,
  destQpn: 0xffffff,
  rqPsn: 0xffffff,
  sqPsn: 0xffffff,
  qkey: 0xffffffff,
} as const satisfies Partial<Record<keyof QpAttributes, number>>;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkRanges(attributes: QpAttributes): void {
  for (const [name, max] of Object.entries(RANGES)) {
    const value = attributes[name as keyof typeof RANGES];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw usageError(`${name} must be an integer from 0 to ${max}, not ${value}`);
    }
  }
  if (attributes.pathMtu !== undefined) toPathMtu(attributes.pathMtu);
  if (attributes.port !== undefined && attributes.port !== 1) throw usageError('port must be 1');
}

/** The local ACK timeout of a code: 4.096 µs times a power of two; 0 stands for none. */
export function timeoutToMicros(code: number): number {
  return code === 0 ? Number.POSITIVE_INFINITY : 4.096 * 2 ** code;
}
