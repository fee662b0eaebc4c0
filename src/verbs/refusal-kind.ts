/**
 * Why a peer did not get, or did not keep, a connection: a word for programs, set where the refusal happens and carried
 * from there to the client's `error.refusal`, to metrics, audit and log. Stable: dashboards and alarms name them.
 *
 * Invariant: a server counts by its own words only; what a client says about itself is `left`. One exception: that packets do
 * not come through (`unreachable`) either end may find out first.
 *
 * Their places are numbers on the wire (connection/fragments/close-codes.ts): a new one comes last.
 */
import type { RdmaErrorCode, RdmaFault } from './error-codes.js';

export const REFUSAL_KINDS = [
  /** The certificate is missing, not trusted or not valid. */
  'certificate',
  /** A name in the certificate holds characters that people cannot see. */
  'name',
  'tls-version',
  /** Something else than TLS, or not our protocol over it. */
  'no-tls',
  /** TLS failed for another reason. */
  'tls',
  /** Records of TLS were changed or cut off on their way. */
  'tls-broken',
  /** The server closed the connection before TLS began: it takes no more, or no more from this address. It said nothing. */
  'before-tls',
  /** More connections from one address, or in TLS, than are allowed. */
  'overload',
  /** This identity has all its connections. */
  'quota',
  /** All slots are taken: try again later. */
  'no-slot',
  'not-authorized',
  'protocol',
  /** There is no connection that the session could take up. */
  'resumption',
  'timeout',
  'closing',
  /** The server takes no new clients for now: its operator drains it. */
  'draining',
  /** The worker of the server that served it has died, or none runs at the moment. */
  'worker',
  /** The peer ended it, or is gone. */
  'left',
  /** The program on the other side ended the connection. */
  'aborted',
  /** The other side could not make its objects. */
  'resources',
  /** TCP works, but UDP does not come through. */
  'unreachable',
  /** The data path failed. */
  'failed',
  /** The other side made a mistake. */
  'internal',
  'other',
] as const;

export type RefusalKind = (typeof REFUSAL_KINDS)[number];

/** Those that may pass by themselves: the same client may get in later. */
const PASSING: readonly RefusalKind[] = [
  'tls-broken',
  'before-tls',
  'overload',
  'quota',
  'no-slot',
  'timeout',
  'closing',
  'draining',
  'worker',
  'left',
  'resources',
  'unreachable',
  'failed',
];

/** What may pass by itself, where nobody refused anything. A request whose outcome is unknown must not be repeated blindly. */
const PASSING_CODES: readonly RdmaErrorCode[] = [
  'ERR_RDMA_QUEUE_FULL',
  'ERR_RDMA_NO_MEMORY',
  'ERR_RDMA_LIMIT',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_UNREACHABLE',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_NO_SERVER',
];

/** What the end of a session by an error is, where the error does not say so itself. */
const KINDS: Readonly<Record<RdmaErrorCode, RefusalKind>> = {
  ERR_RDMA_INVALID_ARGUMENT: 'internal',
  ERR_RDMA_INVALID_STATE: 'internal',
  ERR_RDMA_CLOSED: 'left',
  ERR_RDMA_IN_USE: 'resources',
  ERR_RDMA_QUEUE_FULL: 'internal',
  ERR_RDMA_NOT_SUPPORTED: 'resources',
  ERR_RDMA_NO_DEVICE: 'resources',
  ERR_RDMA_NO_LIBRARY: 'resources',
  ERR_RDMA_NO_MEMORY: 'resources',
  ERR_RDMA_LIMIT: 'resources',
  ERR_RDMA_ADDRESS: 'resources',
  ERR_RDMA_COMPLETION: 'failed',
  ERR_RDMA_MESSAGE_TOO_LARGE: 'internal',
  ERR_RDMA_CERTIFICATE: 'certificate',
  ERR_RDMA_TLS: 'tls',
  ERR_RDMA_REFUSED: 'other',
  ERR_RDMA_REJECTED: 'other',
  ERR_RDMA_NVME: 'other',
  ERR_RDMA_PROTOCOL: 'protocol',
  ERR_RDMA_INTEGRITY: 'failed',
  ERR_RDMA_TIMEOUT: 'timeout',
  ERR_RDMA_UNREACHABLE: 'unreachable',
  ERR_RDMA_CONNECTION_LOST: 'left',
  ERR_RDMA_NO_SERVER: 'left',
  ERR_RDMA_OUTCOME_UNKNOWN: 'failed',
  ERR_RDMA_ABORTED: 'aborted',
  ERR_RDMA_STREAM_RESET: 'aborted',
  ERR_RDMA_INTERNAL: 'internal',
};

export const refusalKindOf = (error: {
  readonly code: RdmaErrorCode;
  readonly refusal: RefusalKind | undefined;
}): RefusalKind => error.refusal ?? KINDS[error.code];

/** Whether the same attempt may succeed later, with nothing changed by the program. */
export const isRetryable = (error: {
  readonly code: RdmaErrorCode;
  readonly fault: RdmaFault;
  readonly refusal: RefusalKind | undefined;
}): boolean => {
  if (error.refusal !== undefined) return PASSING.includes(error.refusal);
  if (error.code === 'ERR_RDMA_COMPLETION') return error.fault === 'network';
  return PASSING_CODES.includes(error.code);
};

/** The kind that a server told; a word that is none of ours is `other`. */
export const toldRefusalKind = (word: string): RefusalKind =>
  REFUSAL_KINDS.find((kind) => kind === word) ?? 'other';
