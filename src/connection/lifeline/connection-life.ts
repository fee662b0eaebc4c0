/**
 * The life of a connection as the program's side of it sees it. A lifeline is one; where the program runs in a worker, the
 * lifeline stays in the main thread, and what stands for it there is another.
 */
import type { Terms } from '../../session/terms.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { QueuePairStatus } from '../data-path/data-plane.js';
import type { Rendezvous } from './rendezvous.js';

export interface LifelineListener {
  onReconnecting(cause: RdmaError): void;
  onReconnected(): void;
  /** Both ends do without the session. */
  onParted?(): void;
  /** Everything is freed: `undefined` after an orderly end, else what went wrong. */
  onClosed(error: RdmaError | undefined): void;
}

/**
 * `open`: TLS is there. `left`: the connection goes on without it, as both ends wanted it (`lifeline: 'brief'`). `lost`: there is none,
 * because the connection recovers or has ended.
 */
export type SessionState = 'open' | 'left' | 'lost';

/** Who is at the two ends of the session. */
export type SessionEnds = Pick<
  Rendezvous,
  'peer' | 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'
>;

export interface ConnectionLife {
  listener: LifelineListener | null;
  /** The present one. */
  readonly rendezvous: SessionEnds;
  readonly session: SessionState;
  /** What the peer promised last. */
  readonly peerTerms: Terms | undefined;
  /** The memory that is lent to the peer; empty when none is. */
  readonly lentMemory: Uint8Array;
  readonly isEncrypted: boolean;
  /** As the data plane told it last. */
  readonly queuePair: QueuePairStatus | null;
  /** Nothing new is taken any more. */
  readonly isEnding: boolean;
  /** Resolves when everything is freed: with `undefined` after an orderly end, else with what went wrong. */
  readonly closed: Promise<RdmaError | undefined>;
  /** Ends the connection in order. Idempotent. */
  close(): Promise<void>;
  /** Ends the connection at once because of `error`. Idempotent. */
  abort(error: RdmaError): void;
}
