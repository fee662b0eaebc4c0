/**
 * The one error class of this package. Every error has a stable `code` for programs, a `fault` that tells who can do
 * something about it, and a message that says what to do. Failures that belong to a posted work request are not
 * thrown: they arrive as a work completion with a status, as the verbs define it.
 */

/** Who is at fault: the calling program, the peer, the network between, or this machine's device and limits. */
export type RdmaFault = 'usage' | 'peer' | 'network' | 'device';

const FAULTS = {
  ERR_RDMA_INVALID_ARGUMENT: 'usage',
  ERR_RDMA_INVALID_STATE: 'usage',
  ERR_RDMA_CLOSED: 'usage',
  ERR_RDMA_IN_USE: 'usage',
  ERR_RDMA_QUEUE_FULL: 'usage',
  ERR_RDMA_NOT_SUPPORTED: 'device',
  ERR_RDMA_NO_DEVICE: 'device',
  ERR_RDMA_NO_LIBRARY: 'device',
  ERR_RDMA_NO_MEMORY: 'device',
  ERR_RDMA_LIMIT: 'device',
  ERR_RDMA_ADDRESS: 'device',
  ERR_RDMA_COMPLETION: 'network',
  ERR_RDMA_MESSAGE_TOO_LARGE: 'usage',
  ERR_RDMA_CERTIFICATE: 'usage',
  ERR_RDMA_TLS: 'network',
  ERR_RDMA_REFUSED: 'peer',
  ERR_RDMA_PROTOCOL: 'peer',
  /** Sealed bytes were changed, repeated, reordered or left out on their way. */
  ERR_RDMA_INTEGRITY: 'network',
  ERR_RDMA_TIMEOUT: 'network',
  ERR_RDMA_CONNECTION_LOST: 'network',
  ERR_RDMA_OUTCOME_UNKNOWN: 'network',
  ERR_RDMA_ABORTED: 'usage',
} as const satisfies Record<`ERR_RDMA_${string}`, RdmaFault>;

/** Stable error codes; programs may compare against them. */
export type RdmaErrorCode = keyof typeof FAULTS;

export interface RdmaErrorOptions {
  cause?: unknown;
  /** Name of the work completion status, where the error came from a completion. */
  status?: string;
}

export class RdmaError extends Error {
  override readonly name = 'RdmaError';
  readonly code: RdmaErrorCode;
  readonly fault: RdmaFault;
  /** Name of the work completion status (`RETRY_EXC_ERR`, …), where the error came from a completion. */
  readonly status: string | undefined;

  constructor(code: RdmaErrorCode, message: string, options: RdmaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fault = FAULTS[code];
    this.status = options.status;
  }
}

/** An argument that can never be right. */
export const usageError = (message: string): RdmaError => new RdmaError('ERR_RDMA_INVALID_ARGUMENT', message);

/** The object was closed before the call. */
export const closedError = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_CLOSED', `${what} is closed; open a new one`);

/** The device does not offer `what`; device attributes tell beforehand. */
export const notSupported = (what: string, device: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_NOT_SUPPORTED',
    `${device} does not support ${what}; check the device attributes first`,
  );
