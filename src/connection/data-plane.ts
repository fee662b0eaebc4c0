/**
 * What the life of a connection asks of its data plane, and what it hears from it: calls with plain data and events, so
 * that a data plane can run elsewhere. Keys are derived before and handed over as bytes; no call asks the session back.
 *
 *     prepare → connect → prove → open … disconnect → prepare → connect → prove → open … destroy
 */
import type { KeyPair, PeerFault, SessionParameters, SessionRole } from '../session/session-data.js';
import type { Terms } from '../session/terms.js';
import type { RdmaError } from '../verbs/errors.js';
import type { PeerPath } from '../verbs/peer-path.js';

export interface DataPlaneListener {
  /** The link has failed; disconnect it. */
  onLinkFailure(error: RdmaError): void;
  /** Something was completed or received: the path works. */
  onProgress(): void;
  /** The peer wants to end the connection in order. */
  onQuit(): void;
  /** The peer has all that was sent until `quit`, and the word itself; or nothing will come of it any more. */
  onQuitDone(): void;
}

/** Which end of which session this is: `secret` is known to its two ends alone. */
export interface SessionEnd {
  readonly role: SessionRole;
  readonly secret: Buffer;
}

export interface PrepareOptions {
  /** The address at which the peer reaches this machine. */
  readonly reachedAt: string;
  readonly end: SessionEnd;
}

/** Of this link, and of memory, which outlives links: the first ones count. */
export interface LinkKeys {
  readonly messages: KeyPair;
  readonly memory: KeyPair;
}

/** All that a link needs to know. */
export interface LinkTerms {
  readonly own: PeerPath;
  readonly peer: PeerPath;
  /** What the peer promises. */
  readonly terms: Terms;
  readonly keys: LinkKeys;
}

export interface DataPlane {
  listener: DataPlaneListener | null;
  /** Name of the queue pair's state, for people. */
  readonly qpState: string;
  /** Makes the objects, or a new queue pair for those that exist; returns what the peer must know of them. */
  prepare(options: PrepareOptions): Promise<SessionParameters>;
  /** What the peer may not tell of its queue pair. `sessionAddress`: of its end of the session. */
  peerFault(peer: PeerPath, sessionAddress: string): Promise<PeerFault | undefined>;
  /** Brings the queue pair to RTS and posts the receives: the peer may send. */
  connect(link: LinkTerms): Promise<void>;
  /**
   * Both sides are ready: sends the peer two messages that hold nothing, one of which fills a packet, and resolves when
   * its device has the small one.
   *
   * @throws RdmaError what ended the link.
   */
  prove(terms: Terms): Promise<void>;
  /**
   * After `prove`: resolves when the peer's device has the large one, too.
   *
   * @throws RdmaError what ended the link.
   */
  proveFull(terms: Terms): Promise<void>;
  /** Sends what waits. */
  open(terms: Terms): void;
  /** Resolves when no request of ours waits for the peer's answer, or when the link ends. */
  answered(): Promise<void>;
  /** Ends the link, after taking what had arrived. Idempotent. */
  disconnect(cause: RdmaError): Promise<void>;
  /** Tells the peer, after all that was sent before, that nothing more will come. */
  quit(): void;
  /** Nothing more is taken from the peer. */
  endReceiving(): void;
  /** Frees everything. What waits ends with `error`, or in order if there is none. */
  destroy(error: RdmaError | undefined): Promise<void>;
}
