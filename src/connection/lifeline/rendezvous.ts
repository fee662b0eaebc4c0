/**
 * How the two ends of a connection meet, without a hint of the means: over TLS today (tls-rendezvous.ts), and by any
 * other way that brings paths and terms from one program to the other, as rdma_cm does.
 *
 * A rendezvous belongs to one connection and to one peer, who is known from the beginning. The ends may meet over it any
 * number of times, one attempt after the other: for each the peer's path and terms are fetched, the queue pair is tied to
 * them, and the path is proven. Between two attempts it tells whether the peer is still there. It ends once, for one
 * reason, and then brings nothing more; a connection that wants to go on needs another.
 */
import type { PeerIdentity } from '../../session/peer-identity.js';
import type { ProofSeen, SessionParameters } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { DataPlane, LinkTerms, PrepareOptions } from '../data-path/data-plane.js';

/** How an attempt is carried out, step by step. What they throw ends the attempt, and `meet` throws it. */
export interface MeetingSteps extends Pick<DataPlane, 'peerFault'> {
  /** The peer is there: makes the objects, and says what it must know. Nothing is made before. */
  prepare(options: PrepareOptions, signal?: AbortSignal): Promise<SessionParameters>;
  /** Ties the queue pair to the peer's: the peer may send. */
  connect(link: LinkTerms): Promise<void>;
  /** Proves the path; `onSeen` is told what has come through, of either side's messages, whenever it is more. */
  prove(terms: Terms, onSeen: (seen: ProofSeen) => void): Promise<void>;
}

/** What is told of a peer between two meetings. */
export interface RendezvousListener {
  /** The peer has given a sign of life. */
  onHeard(): void;
  /** The peer begins to meet anew: so must this side. Nothing more is told. */
  onRestart(): void;
  /** The peer has left in order. Nothing more is told. */
  onLeft(): void;
  /** Both ends do without it from now on, as `part` said. Nothing more is told. */
  onParted(): void;
  /** The rendezvous has ended for this reason. Nothing more is told. */
  onEnded(error: RdmaError): void;
}

/** `error`: why it ended; `undefined` when either side left in order. */
export interface RendezvousEnd {
  readonly error: RdmaError | undefined;
  /** What the peer said as it left: which fragment it expected next. It takes none from that one on. */
  readonly received?: number;
}

/** Who is at the other end. */
export interface RendezvousPeer {
  /** The peer's certificate, verified; `null` when it showed none. */
  readonly peer: PeerIdentity | null;
  /** Address and port of the peer's end. */
  readonly remoteAddress: string;
  readonly remotePort: number;
}

export interface Rendezvous extends RendezvousPeer {
  /** For messages: `the client 192.0.2.7:50123`. */
  readonly peerName: string;
  /** Those of this end. */
  readonly localAddress: string;
  readonly localPort: number;
  /** `undefined` while it lasts. */
  readonly end: RendezvousEnd | undefined;
  /** This end does without it (`part`), and the peer has not left for good: nothing is met, asked or told over it. */
  readonly isParted: boolean;
  /**
   * Meets the peer: resolves when packets of all sizes have come through in both directions, with what the peer promises. Rejects only
   * after a step that was running has settled, so that what the steps made can then be freed.
   *
   * @throws RdmaError why the rendezvous ended, what a step threw, or ERR_RDMA_UNREACHABLE when they did not come through;
   *   after the last another attempt may be made.
   */
  meet(steps: MeetingSteps): Promise<Terms>;
  /** Tells of the peer from now on, until the next meeting or until `unwatch`. */
  watch(listener: RendezvousListener): void;
  unwatch(): void;
  /** The connection goes on without it: says so, and ends it when the peer has said so, too. */
  part(): void;
  /** Asks a silent peer for a sign of life. A rendezvous that learns by other means that the peer lives says so at once. */
  ask(): void;
  /** Ends it because of `error`; the peer is told `told` and of what kind the error is. Idempotent. */
  fail(error: RdmaError, told: string): void;
  /** Gives it up without a word, because the peer is taken for lost or came back by another way. Idempotent. */
  drop(error: RdmaError): void;
  /**
   * Leaves in order; resolves when everything of it is freed. `received`: number of the fragment that would come next, where nothing
   * more is taken from the peer. Idempotent.
   */
  close(received?: number): Promise<void>;
}
