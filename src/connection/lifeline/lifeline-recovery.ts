/**
 * The course of a recovery: since when there is trouble and what it began with, how often it was tried, and what is said
 * when it fails.
 *
 * Invariant: the time for recovery begins with the first failure after progress, and not anew with every failure.
 */
import { RdmaError, type RdmaErrorCode } from '../../verbs/errors.js';
import type { RefusalKind } from '../../verbs/refusal-kind.js';
import { backOffMillis } from '../common/back-off.js';

const FIRST_PAUSE_MILLIS = 5;
const LONGEST_PAUSE_MILLIS = 200;
/** Towards a server that takes no more: clients that come back too often keep each other out. */
const LONGEST_CROWDED_PAUSE_MILLIS = 3200;

/** What an attempt to recover may fail with and be tried again. */
const RETRYABLE: readonly RdmaErrorCode[] = [
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_UNREACHABLE',
];
/** Nobody answered any more, which has a reason where one is known. */
const SILENCE: readonly RdmaErrorCode[] = ['ERR_RDMA_TIMEOUT', 'ERR_RDMA_CONNECTION_LOST'];
/** The peer gave up as well, perhaps before it knew why: what this side has found out says more. */
const PEER_GAVE_UP: readonly (RefusalKind | undefined)[] = [
  'timeout',
  'unreachable',
  'failed',
  'left',
  'resumption',
];
/** What a connection recovers from. TLS that broke is mended by a new session, which verifies the peer anew. */
const RECOVERABLE: readonly RdmaErrorCode[] = [...RETRYABLE, 'ERR_RDMA_TLS'];

export const isRecoverable = ({ code }: RdmaError): boolean => RECOVERABLE.includes(code);

/**
 * Whether an attempt that failed so is worth another one. A peer that has told why is not coming back; what this side only
 * concludes of a peer that said nothing, or of TLS that broke on its way, may pass.
 */
export function mayRepeat({ code, refusal }: RdmaError): boolean {
  if (code === 'ERR_RDMA_TLS') return refusal === 'tls-broken';
  return RETRYABLE.includes(code) && (refusal === undefined || refusal === 'before-tls');
}

/**
 * Whether the network broke a first meeting off, so that neither end could tell the other. One that took too long, or whose
 * packets do not come through, was ended by an end that says so.
 */
export const isBrokenOff = (error: RdmaError): boolean =>
  mayRepeat(error) && error.code !== 'ERR_RDMA_TIMEOUT' && error.code !== 'ERR_RDMA_UNREACHABLE';

/** The time that recovery had, with its first failure. */
interface Trouble {
  readonly since: number;
  readonly cause: RdmaError;
}

export class Recovery {
  readonly #recoveryMillis: number;
  /** Beside that: until the peer knows that it is sought. */
  #noticeMillis = 0;
  #trouble: Trouble | undefined;
  /** An attempt found that packets do not come through; says more than the end of the time for recovery. */
  #blocked: RdmaError | undefined;
  #attempts = 0;
  /** The server had no room for another handshake. */
  #isCrowded = false;

  constructor(recoveryMillis: number) {
    this.#recoveryMillis = recoveryMillis;
  }

  get hasBegun(): boolean {
    return this.#trouble !== undefined;
  }

  /** What was found to block the path, if anything was. */
  get blocked(): RdmaError | undefined {
    return this.#blocked;
  }

  /** The path works, so what fails next is new trouble. While down it tells of the link that is gone. */
  noteProgress(now: number, isDown: boolean): void {
    this.#attempts = 0;
    if (!isDown) this.#trouble = undefined;
    else if (this.#trouble !== undefined) this.#trouble = { ...this.#trouble, since: now };
  }

  /** The connection, up since then, failed. One that was up for long has not the trouble of before. */
  begin(now: number, upSince: number, cause: RdmaError): void {
    if (now - upSince > this.#recoveryMillis) {
      this.#trouble = undefined;
      this.#attempts = 0;
    }
    this.#trouble ??= { since: now, cause };
  }

  /** An attempt failed. */
  noteFailure(error: RdmaError): void {
    if (error.code === 'ERR_RDMA_UNREACHABLE') this.#blocked = error;
    this.#isCrowded = error.refusal === 'before-tls';
  }

  /** `noticeMillis`: what the peer may take to notice the next failure. */
  noteUp(noticeMillis: number): void {
    this.#blocked = undefined;
    this.#noticeMillis = noticeMillis;
  }

  leftMillis(now: number): number {
    return (this.#trouble?.since ?? now) + this.#recoveryMillis + this.#noticeMillis - now;
  }

  /** None before the first attempt, then longer and longer, with jitter. */
  nextPauseMillis(random: () => number): number {
    const attempt = this.#attempts++;
    if (attempt === 0) return 0;
    const most = this.#isCrowded ? LONGEST_CROWDED_PAUSE_MILLIS : LONGEST_PAUSE_MILLIS;
    return backOffMillis(FIRST_PAUSE_MILLIS, most, attempt, random);
  }

  /** The last failure of a recovery tells what it began with. */
  withCause(last: RdmaError): RdmaError {
    const saysLess = SILENCE.includes(last.code) || PEER_GAVE_UP.includes(last.refusal);
    const failure = saysLess ? (this.#blocked ?? last) : last;
    const first = this.#trouble?.cause;
    if (first === undefined || first === failure) return failure;
    const { status, refusal } = failure;
    const message = `${failure.message} (the trouble began with: ${first.message})`;
    return new RdmaError(failure.code, message, {
      cause: first,
      ...(status === undefined ? {} : { status }),
      ...(refusal === undefined ? {} : { refusal }),
    });
  }
}

export const tooSlow = (): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', 'the peer did not come back within the time for recovery');
