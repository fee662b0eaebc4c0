/**
 * Failures in the words of node:net, because programs decide by them: `error.code === 'ECONNREFUSED'`. The RdmaError, which says
 * what to do, is the `cause`. A failure for which TCP has no word, such as a certificate that nobody trusts, is the RdmaError
 * itself.
 *
 * Invariant: codes come from codes, never from sentences.
 */
import { constants } from 'node:os';
import type { RdmaErrorCode } from '../verbs/error-codes.js';
import { RdmaError } from '../verbs/errors.js';

/** What an error of a socket of node:net has. */
export interface NetError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly address?: string;
  readonly port?: number;
}

/** What the socket was doing. */
export interface NetAttempt {
  readonly syscall: 'connect' | 'listen' | 'read' | 'write' | 'getaddrinfo';
  readonly address?: string;
  readonly port?: number;
}

const { errno } = constants;
type ErrnoName = keyof typeof errno;

/** While connecting: nobody took the connection. */
const CONNECT_CODES: Partial<Record<RdmaErrorCode, ErrnoName>> = {
  ERR_RDMA_REFUSED: 'ECONNREFUSED',
  ERR_RDMA_REJECTED: 'ECONNREFUSED',
  ERR_RDMA_TIMEOUT: 'ETIMEDOUT',
  ERR_RDMA_UNREACHABLE: 'EHOSTUNREACH',
  ERR_RDMA_CONNECTION_LOST: 'ECONNRESET',
  ERR_RDMA_CLOSED: 'ECONNRESET',
  ERR_RDMA_ADDRESS: 'EADDRNOTAVAIL',
};

/** The stream was up. */
const STREAM_CODES: Partial<Record<RdmaErrorCode, ErrnoName>> = {
  ERR_RDMA_REFUSED: 'ECONNRESET',
  ERR_RDMA_STREAM_RESET: 'ECONNRESET',
  ERR_RDMA_TIMEOUT: 'ETIMEDOUT',
  ERR_RDMA_UNREACHABLE: 'ETIMEDOUT',
  ERR_RDMA_CONNECTION_LOST: 'ECONNRESET',
  ERR_RDMA_OUTCOME_UNKNOWN: 'ECONNRESET',
  ERR_RDMA_ABORTED: 'ECONNRESET',
  ERR_RDMA_CLOSED: 'ECONNRESET',
  ERR_RDMA_COMPLETION: 'ECONNRESET',
};

const LISTEN_CODES: Partial<Record<RdmaErrorCode, ErrnoName>> = {
  ERR_RDMA_ADDRESS: 'EADDRNOTAVAIL',
  ERR_RDMA_IN_USE: 'EADDRINUSE',
};

/** What a socket or server emits for `failure`. */
export function netError(failure: unknown, attempt: NetAttempt): Error {
  if (!(failure instanceof RdmaError)) return failure instanceof Error ? failure : new Error(String(failure));
  const name = systemCodeOf(failure) ?? tableOf(attempt)[failure.code];
  return name === undefined ? failure : systemError(name, attempt, failure);
}

/** An error as node:net makes it: `connect ECONNREFUSED 192.0.2.7:80`, with our sentence behind it. */
export function systemError(name: ErrnoName, attempt: NetAttempt, cause?: RdmaError): NetError {
  const { syscall, address, port } = attempt;
  const where = address === undefined ? '' : ` ${address}${port === undefined ? '' : `:${port}`}`;
  const why = cause === undefined ? '' : `: ${cause.message}`;
  const error = new Error(`${syscall} ${name}${where}${why}`, cause === undefined ? {} : { cause });
  return Object.assign(error, {
    errno: -errno[name],
    code: name,
    syscall,
    ...(address === undefined ? {} : { address }),
    ...(port === undefined ? {} : { port }),
  });
}

/** An error of `queuepair/net` that has a name of Node's own, such as ERR_SOCKET_CLOSED. */
export function nodeError(code: string, message: string, Base: ErrorConstructor = Error): Error {
  return Object.assign(new Base(message), { code });
}

/** Something of node:net that there is not here. */
export const notOffered = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_NOT_SUPPORTED', `queuepair/net does not offer ${what}`);

/** The operating system's own word, where one of the causes is its. */
function systemCodeOf(error: RdmaError): ErrnoName | undefined {
  let cause: unknown = error;
  for (let depth = 0; depth < 8 && cause instanceof Error; depth++) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === 'string' && Object.hasOwn(errno, code)) return code as ErrnoName;
    cause = cause.cause;
  }
  return undefined;
}

function tableOf({ syscall }: NetAttempt): Partial<Record<RdmaErrorCode, ErrnoName>> {
  if (syscall === 'connect') return CONNECT_CODES;
  return syscall === 'listen' ? LISTEN_CODES : STREAM_CODES;
}
