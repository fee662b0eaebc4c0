/**
 * The one error class of this package. Every error has a stable `code` for programs, a `fault` that tells who can do
 * something about it, and a message that says what to do. Failures that belong to a posted work request are not
 * thrown: they arrive as a work completion with a status, as the verbs define it.
 */

import { FAULTS, type RdmaErrorCode, type RdmaFault } from './error-codes.js';
import type { LostPackets } from './lost-packets.js';
import { isRetryable, type RefusalKind } from './refusal-kind.js';
import { type PlainRejection, plainRejection, type Rejection, rejectionOf } from './rejection.js';
import type { StreamReset } from './stream-reset.js';

export type { RdmaErrorCode, RdmaFault } from './error-codes.js';

/** Whose fault a failed request is, by the status of its completion; the network's where nothing is said. */
const STATUS_FAULTS: ReadonlyMap<string, RdmaFault> = new Map(
  Object.entries<RdmaFault>({
    LOC_LEN_ERR: 'usage',
    LOC_QP_OP_ERR: 'usage',
    LOC_EEC_OP_ERR: 'usage',
    LOC_PROT_ERR: 'usage',
    MW_BIND_ERR: 'usage',
    BAD_RESP_ERR: 'peer',
    LOC_ACCESS_ERR: 'peer',
    REM_INV_REQ_ERR: 'peer',
    REM_ACCESS_ERR: 'peer',
    REM_OP_ERR: 'peer',
    RNR_RETRY_EXC_ERR: 'peer',
    REM_ABORT_ERR: 'peer',
    FATAL_ERR: 'device',
    GENERAL_ERR: 'device',
    QP_FATAL: 'device',
    QP_REQ_ERR: 'peer',
    QP_ACCESS_ERR: 'peer',
  }),
);

/** What became of one of several servers that were tried. */
export interface ConnectAttempt {
  /** `host:port`. */
  readonly server: string;
  /** Why it did not take the connection. */
  readonly error: RdmaError;
}

export interface RdmaErrorOptions {
  cause?: unknown;
  /** Name of the work completion status, where the error came from a completion. */
  status?: string;
  refusal?: RefusalKind;
  rejection?: Rejection;
  reset?: StreamReset;
  lost?: LostPackets;
  attempts?: readonly ConnectAttempt[];
  untried?: number;
}

/** An error as plain data that survives JSON and structured clone; of a cause that is no error only its text does. */
export interface PlainError {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
  readonly status?: string;
  readonly refusal?: string;
  readonly rejection?: PlainRejection;
  readonly reset?: string;
  readonly lost?: string;
  readonly attempts?: readonly { readonly server: string; readonly error: PlainError }[];
  readonly untried?: number;
  readonly stack?: string;
  readonly cause?: PlainError | string;
}

/** The same symbol in every copy of this package. */
const MARK = Symbol.for('queuepair.RdmaError');
/** Causes of causes beyond this are cut off; one may be its own. */
const MAX_CAUSES = 8;

export class RdmaError extends Error {
  override readonly name = 'RdmaError';
  readonly code: RdmaErrorCode;
  readonly fault: RdmaFault;
  /** Name of the work completion status (`RETRY_EXC_ERR`, …), where the error came from a completion. */
  readonly status: string | undefined;
  /** Why the peer refused or ended the session, as a word to decide by: `no-slot` is worth another try. */
  readonly refusal: RefusalKind | undefined;
  /** What the peer said, where ERR_RDMA_REJECTED came of its REJ. */
  readonly rejection: Rejection | undefined;
  /** Why the peer reset the stream, where it did. */
  readonly reset: StreamReset | undefined;
  /** Which packets do not come through, where that is why (ERR_RDMA_UNREACHABLE). */
  readonly lost: LostPackets | undefined;
  /** Why each server did not take the connection, in the order in which they were tried (ERR_RDMA_NO_SERVER). */
  readonly attempts: readonly ConnectAttempt[] | undefined;
  /** Servers that DNS named beyond those that one call tries (ERR_RDMA_NO_SERVER). */
  readonly untried: number | undefined;

  constructor(code: RdmaErrorCode, message: string, options: RdmaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fault =
      code === 'ERR_RDMA_COMPLETION'
        ? (STATUS_FAULTS.get(options.status ?? '') ?? FAULTS[code])
        : FAULTS[code];
    this.status = options.status;
    this.refusal = options.refusal;
    this.rejection = options.rejection;
    this.reset = options.reset;
    this.lost = options.lost;
    this.attempts = options.attempts;
    this.untried = options.untried;
  }

  /**
   * The same call may succeed later with nothing changed: the server is full, the network was dark. `false` also where nothing
   * is known of it, and for a request that may have been carried out. Of several servers one is enough that may take it later, or
   * that was not tried.
   */
  get retryable(): boolean {
    if (this.untried !== undefined) return true;
    return this.attempts?.some(({ error }) => error.retryable) ?? isRetryable(this);
  }

  /** Errors of another copy of this package count as well, so that programs can tell them whoever threw them. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false;
    // biome-ignore lint/complexity/noThisInStatic: a class derived from this one has instances of its own.
    return this === RdmaError ? MARK in value : Function.prototype[Symbol.hasInstance].call(this, value);
  }

  /** What `fromJSON` makes this error of again, in another thread or process. */
  toJSON(): PlainError {
    return toPlainError(this);
  }

  /** The error that `plain` was; class, code, fault, status, refusal, rejection, reset, lost, attempts, untried and cause are as they were. */
  static fromJSON(plain: PlainError): RdmaError {
    const error = fromPlainError(plain);
    return error instanceof RdmaError
      ? error
      : new RdmaError('ERR_RDMA_INTERNAL', plain.message, { cause: error });
  }
}

Object.defineProperty(RdmaError.prototype, MARK, { value: true });

/** What was thrown, as text: an error's message. Anything may be thrown, also objects that have no text. */
export function thrownText(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return `a value of type ${typeof thrown}`;
  }
}

/** Any error as plain data. */
export const toPlainError = (error: Error): PlainError => plainError(error, 0);

/** The error that `plain` was; one of another class has its name, message, code, cause and stack. */
export const fromPlainError = (plain: PlainError): Error => errorOf(plain, 0);

function plainError(error: Error, depth: number): PlainError {
  const { code, status, refusal, rejection, reset, lost, attempts, untried } = error as Error & {
    code?: unknown;
    status?: unknown;
    refusal?: unknown;
    rejection?: Rejection;
    reset?: unknown;
    lost?: unknown;
    attempts?: readonly ConnectAttempt[];
    untried?: unknown;
  };
  const { cause } = error;
  return {
    name: String(error.name),
    message: thrownText(error),
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof status === 'string' ? { status } : {}),
    ...(typeof refusal === 'string' ? { refusal } : {}),
    ...(error instanceof RdmaError && rejection !== undefined
      ? { rejection: plainRejection(rejection) }
      : {}),
    ...(typeof reset === 'string' ? { reset } : {}),
    ...(typeof lost === 'string' ? { lost } : {}),
    ...(error instanceof RdmaError && attempts !== undefined && depth < MAX_CAUSES
      ? {
          attempts: attempts.map(({ server, error: why }) => ({
            server,
            error: plainError(why, depth + 1),
          })),
        }
      : {}),
    ...(typeof untried === 'number' ? { untried } : {}),
    ...(typeof error.stack === 'string' ? { stack: error.stack } : {}),
    ...(cause === undefined || depth >= MAX_CAUSES
      ? {}
      : { cause: cause instanceof Error ? plainError(cause, depth + 1) : thrownText(cause) }),
  };
}

function errorOf(plain: PlainError, depth: number): Error {
  const { name, code, message, status, refusal, rejection, reset, lost, attempts, untried, stack } = plain;
  const cause =
    typeof plain.cause === 'object' && depth < MAX_CAUSES ? errorOf(plain.cause, depth + 1) : plain.cause;
  const error =
    name === 'RdmaError' && code !== undefined && Object.hasOwn(FAULTS, code)
      ? new RdmaError(code as RdmaErrorCode, message, {
          cause,
          ...(status === undefined ? {} : { status }),
          ...(refusal === undefined ? {} : { refusal: refusal as RefusalKind }),
          ...(rejection === undefined ? {} : { rejection: rejectionOf(rejection) }),
          ...(reset === undefined ? {} : { reset: reset as StreamReset }),
          ...(lost === undefined ? {} : { lost: lost as LostPackets }),
          ...(attempts === undefined || depth >= MAX_CAUSES
            ? {}
            : { attempts: attempts.map(attemptOf(depth)) }),
          ...(untried === undefined ? {} : { untried }),
        })
      : Object.assign(
          new Error(message, cause === undefined ? undefined : { cause }),
          { name },
          code === undefined ? {} : { code },
        );
  // Where it happened, not where it was read.
  if (stack !== undefined)
    Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  return error;
}

const attemptOf =
  (depth: number) =>
  ({ server, error }: { readonly server: string; readonly error: PlainError }): ConnectAttempt => ({
    server,
    error: asRdmaError(errorOf(error, depth + 1), error.message),
  });

/** An argument that can never be right. */
export const usageError = (message: string): RdmaError => new RdmaError('ERR_RDMA_INVALID_ARGUMENT', message);

/** A mistake of this package itself. */
export const internalError = (message: string, cause?: unknown): RdmaError =>
  new RdmaError('ERR_RDMA_INTERNAL', `${message}; this is a mistake of queuepair, please report it`, {
    cause,
  });

/** Any error as one of ours: what no part of this package threw on purpose is a mistake of it. */
export const asRdmaError = (error: unknown, what: string): RdmaError =>
  error instanceof RdmaError ? error : internalError(what, error);

/**
 * As `asRdmaError`, for what this package itself asked of a device: no program can have asked wrongly, so that a sentence for one that
 * has is only the cause. A program may have closed the device.
 */
export const asOwnFault = (error: unknown, what: string): RdmaError =>
  error instanceof RdmaError && (error.fault !== 'usage' || error.code === 'ERR_RDMA_CLOSED')
    ? error
    : internalError(what, error);

/** The object was closed before the call. */
/** Somebody else has the port. The cause says so as the operating system does, for programs that try another one. */
export const takenError = (message: string): RdmaError =>
  new RdmaError('ERR_RDMA_ADDRESS', message, {
    cause: Object.assign(new Error('EADDRINUSE: address already in use'), { code: 'EADDRINUSE' }),
  });

export const closedError = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_CLOSED', `${what} is closed; open a new one`);

/** The device does not offer `what`; device attributes tell beforehand. */
export const notSupported = (what: string, device: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_NOT_SUPPORTED',
    `${device} does not support ${what}; check the device attributes first`,
  );
