/** How a host's failures are told. */
import type { RdmaErrorCode } from '../../verbs/error-codes.js';
import { RdmaError } from '../../verbs/errors.js';
import { nvmeStatusName, Status } from '../wire/status.js';

const WORDS: Readonly<Record<number, string>> = {
  [Status.LBA_OUT_OF_RANGE]: 'it reaches beyond the end of the namespace',
  [Status.INVALID_NAMESPACE]: 'there is no such namespace',
  [Status.INVALID_OPCODE]: 'the target does not offer it',
  [Status.CONNECT_INVALID_HOST]: 'the target does not let this host in; check hostNqn and its list of hosts',
  [Status.CONNECT_CONTROLLER_BUSY]: 'the target has no controller left; try again later',
  [Status.WRITE_FAULT]: 'the disk did not take the data',
  [Status.UNRECOVERED_READ_ERROR]: 'the disk did not give the data',
};

/** The target answered with another status than success. */
export function statusError(what: string, status: number): RdmaError {
  const name = nvmeStatusName(status);
  const words = WORDS[status & 0x7ff];
  return new RdmaError(
    'ERR_RDMA_NVME',
    `${what} failed with ${name}${words === undefined ? '' : `: ${words}`}`,
    {
      status: name,
    },
  );
}

/** The target breaks the protocol, or offers less than this host needs. */
export const protocolError = (message: string): RdmaError => new RdmaError('ERR_RDMA_PROTOCOL', message);

export const lostError = (reason: string): RdmaError =>
  new RdmaError('ERR_RDMA_CONNECTION_LOST', `the controller is gone: ${reason}`);

export const lateError = (message: string): RdmaError => new RdmaError('ERR_RDMA_TIMEOUT', message);

/** Something that may have been done. */
export const unknownOutcome = (what: string, reason: string): RdmaError =>
  new RdmaError('ERR_RDMA_OUTCOME_UNKNOWN', `${what} may or may not have been done: ${reason}`);

/** What a target had confirmed, and nobody knows whether it survives. */
export const notDurable = (cause: unknown): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    `what was written since the last flush may not survive a crash of the target: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );

/** Confirmed by a controller that was lost before a flush. */
export const cacheLost = (): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'the controller was lost after it had confirmed writes that no flush covers: they may not have survived; write them again, and flush',
  );

/** Whether a command failed before it left: nothing of it can have been done. */
export const hasNotLeft = (error: unknown): error is RdmaError =>
  error instanceof RdmaError &&
  (error.code === 'ERR_RDMA_ABORTED' || error.code === 'ERR_RDMA_CONNECTION_LOST');

export const abortedError = (what: string, signal: AbortSignal): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', `${what} was aborted`, { cause: signal.reason });

/** What may be otherwise at the next attempt: the target is not up again, or the network is not. */
const PASSING: readonly RdmaErrorCode[] = [
  'ERR_RDMA_ADDRESS',
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_OUTCOME_UNKNOWN',
  'ERR_RDMA_REJECTED',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_UNREACHABLE',
];
const PASSING_STATUSES: readonly (string | undefined)[] = [
  Status.CONNECT_CONTROLLER_BUSY,
  Status.INTERNAL_ERROR,
  Status.NAMESPACE_NOT_READY,
].map(nvmeStatusName);

/** Whether an attempt that failed so is worth another one. A target that has refused this host for good is not asked again. */
export const isWorthAnotherAttempt = ({ code, status }: RdmaError): boolean =>
  PASSING.includes(code) || (code === 'ERR_RDMA_NVME' && PASSING_STATUSES.includes(status));
