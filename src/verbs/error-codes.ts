/** The stable codes of errors, and whose fault each is. */

/**
 * Who is at fault: the calling program, the peer, the network between, this machine's device and limits, or this
 * package itself.
 */
export type RdmaFault = 'usage' | 'peer' | 'network' | 'device' | 'internal';

export const FAULTS = {
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
  /** By a REJ of rdma_cm: `error.rejection` has its reason. */
  ERR_RDMA_REJECTED: 'peer',
  /** An NVMe target answered a command with another status than success: `error.status` names it. */
  ERR_RDMA_NVME: 'peer',
  ERR_RDMA_PROTOCOL: 'peer',
  /** Sealed bytes were changed, repeated, reordered or left out on their way. */
  ERR_RDMA_INTEGRITY: 'network',
  ERR_RDMA_TIMEOUT: 'network',
  /** Nobody answers, or the session stands, but packets of the queue pairs do not come through. */
  ERR_RDMA_UNREACHABLE: 'network',
  ERR_RDMA_CONNECTION_LOST: 'network',
  /** None of several servers took the connection: `error.attempts` has why each did not. */
  ERR_RDMA_NO_SERVER: 'network',
  ERR_RDMA_OUTCOME_UNKNOWN: 'network',
  ERR_RDMA_ABORTED: 'usage',
  /** By the peer: `error.reset` has its word for why. */
  ERR_RDMA_STREAM_RESET: 'peer',
  /** A mistake of this package: please report it, with its cause. */
  ERR_RDMA_INTERNAL: 'internal',
} as const satisfies Record<`ERR_RDMA_${string}`, RdmaFault>;

/** Stable error codes; programs may compare against them. */
export type RdmaErrorCode = keyof typeof FAULTS;
