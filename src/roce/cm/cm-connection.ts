/**
 * One connection of the communication manager, from its first message to the time after its end: what is known of it, and
 * when something is due. What happens to it is decided in active.ts, passive.ts and ending.ts.
 *
 *     active   req-sent → rep-received → established → dreq-sent → timewait
 *     passive  req-received → rep-sent → established → dreq-sent → timewait
 *
 * Any state can go to timewait at once: rejected, cancelled, expired, disconnected by the peer.
 */
import type { UdpAddress } from '../../verbs/address.js';
import type { Timed } from '../deadlines.js';
import type { CmHandle } from './cm-outputs.js';
import type { CmListener } from './listeners.js';
import type { Req } from './wire/req.js';

export const CmState = {
  /** Active: a REQ goes out until it is answered. */
  REQ_SENT: 'req-sent',
  /** Active: the program has the REP and brings its queue pair up. */
  REP_RECEIVED: 'rep-received',
  /** Passive: the program has the request. */
  REQ_RECEIVED: 'req-received',
  /** Passive: a REP goes out until the peer is heard. */
  REP_SENT: 'rep-sent',
  ESTABLISHED: 'established',
  /** A DREQ goes out until it is answered. */
  DREQ_SENT: 'dreq-sent',
  /** Over. Its identifiers are not used again yet, and late messages are still answered. */
  TIMEWAIT: 'timewait',
} as const;
export type CmState = (typeof CmState)[keyof typeof CmState];

export class CmConnection implements Timed {
  heapIndex = -1;
  heapKey = 0;
  readonly id: CmHandle;
  readonly isActive: boolean;
  readonly localCommId: number;
  readonly local: UdpAddress;
  readonly peer: UdpAddress;
  readonly trafficClass: number;
  readonly transactionId: bigint;
  /** The PSN that the peer begins to send with. */
  readonly localPsn: number;
  state: CmState;
  /** 0 = not known yet, as are GUID and queue pair of the peer. */
  remoteCommId = 0;
  remoteGuid = 0n;
  remoteQpn = 0;
  localQpn = 0;
  /** The REQ, sent or received. */
  readonly req: Req;
  ackTimeout: number;
  /** Goes out again at `retryAt`, as often as `triesLeft` says. */
  repeated: Uint8Array | null = null;
  retryAt = Number.POSITIVE_INFINITY;
  retryMillis = 0;
  triesLeft = 0;
  /** The state ends then, whatever happened. */
  expiresAt = Number.POSITIVE_INFINITY;
  /** What answers the message before it when that comes again. */
  answer: Uint8Array | null = null;
  /** Passive: the REP, which a peer that still has the connection answers by RTU whenever it comes. */
  rep: Uint8Array | null = null;
  wasEstablished = false;
  /** Its program was told how it ended, or does not want to know. */
  isToldEnd = false;
  isHalfOpen = false;
  /** While the program has the request and has not answered. */
  listener: CmListener | null = null;

  constructor(init: CmConnectionInit) {
    this.id = init.id;
    this.isActive = init.isActive;
    this.state = init.isActive ? CmState.REQ_SENT : CmState.REQ_RECEIVED;
    this.localCommId = init.localCommId;
    this.local = init.local;
    this.peer = init.peer;
    this.localPsn = init.localPsn;
    this.req = init.req;
    this.transactionId = init.req.transactionId;
    this.trafficClass = init.req.primary.trafficClass;
    this.ackTimeout = init.req.primary.ackTimeout;
  }

  get wakeAt(): number {
    return Math.min(this.retryAt, this.expiresAt);
  }

  /** Somebody claims that the peer has forgotten it, and the peer has not answered yet. */
  get isInDoubt(): boolean {
    return this.state === CmState.ESTABLISHED && this.repeated !== null;
  }

  /** The IDs of a message to the peer. */
  get ids(): { localCommId: number; remoteCommId: number } {
    return { localCommId: this.localCommId, remoteCommId: this.remoteCommId };
  }
}

export interface CmConnectionInit {
  readonly id: CmHandle;
  readonly isActive: boolean;
  readonly localCommId: number;
  readonly local: UdpAddress;
  readonly peer: UdpAddress;
  readonly localPsn: number;
  readonly req: Req;
}
