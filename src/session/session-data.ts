/**
 * What two ends learn of each other when they meet, as plain data: paths, terms, keys and faults. Whoever needs no more
 * than this needs to know nothing of how they met.
 */
import type { PeerPath } from '../verbs/peer-path.js';
import type { Terms } from './terms.js';

export type SessionRole = 'server' | 'client';

export interface SessionPath extends PeerPath {
  /** 0 on Ethernet. */
  readonly lid: number;
}

/** A path as the `parameters` frame tells it: the PSN came before, in a frame of its own. */
export type ToldPath = Omit<SessionPath, 'psn'>;

/** What an end tells of itself. */
export interface SessionParameters {
  readonly path: ToldPath;
  readonly terms: Terms;
}

/** What two ends know of each other: paths for INIT → RTR → RTS, and terms. */
export interface SessionAttributes {
  /** Our own end; its PSN is `sqPsn` of RTS. */
  readonly own: SessionPath;
  /** The peer's end; its PSN is `rqPsn` of RTR. */
  readonly peer: SessionPath;
  /** What the peer promises. */
  readonly terms: Terms;
}

/** A breach of the session protocol: a name for it, and the rest of the sentence "the client broke …: it …". */
export interface PeerFault {
  readonly reason: string;
  readonly message: string;
}

/** Key and initial nonce of one direction. */
export interface DirectionKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** Keys of both directions for one purpose. */
export interface KeyPair {
  readonly own: DirectionKeys;
  readonly peer: DirectionKeys;
}

/** Each end proves its path with a small message and then one that fills a packet. */
export const PROOF_MESSAGES = 2;

/** How many of them have come through. */
export interface ProofSeen {
  /** Ours that the peer's device has acknowledged. */
  readonly sent: number;
  /** The peer's that are here. */
  readonly arrived: number;
}
