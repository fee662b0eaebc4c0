/**
 * What a connection asks of its data plane, and what it hears from it: calls with plain data that are answered later (by a promise;
 * what thousands of programs wait for at any time, by a call to whoever waits), and events, so that a data plane can run elsewhere. Nothing of it is read: what others must know, it tells. Keys are derived
 * before and handed over as bytes; no call asks the session back.
 *
 *     prepare → connect → prove → open … disconnect → prepare → connect → prove → open … destroy
 */
import type {
  KeyPair,
  PeerFault,
  ProofSeen,
  SessionParameters,
  SessionRole,
} from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import type { GrantTerms } from '../memory/grants.js';
import type { MemoryRange } from '../memory/remote-buffer.js';
import type { GivenUp, TransferOrder } from '../memory/transfer.js';
import type { Waiter } from '../messages/message-inbox.js';
import type { StreamListener, StreamPlane } from '../streams/stream-outlet.js';

export interface DataPlaneListener {
  /** The link has failed; disconnect it. */
  onLinkFailure(error: RdmaError): void;
  /** Something was completed or received: the path works. */
  onProgress(): void;
  /** What `onProgress` or `onSignOfLife` is about to tell was sent by the peer's program. Told in brief lives alone. */
  onSpoken(): void;
  /** The peer is there, and nothing more: a limit came, or what `beat` sent was acknowledged. */
  onSignOfLife(): void;
  /** While the path is being proven: what has come through, of either side's two messages, whenever it is more. */
  onProofSeen(seen: ProofSeen): void;
  /** The peer wants to end the connection in order. */
  onQuit(): void;
  /** The peer has all that was sent until `quit`, and the word itself; or nothing will come of it any more. */
  onQuitDone(): void;
  /** After `quit`: whether what waits is held back by the peer's limit of fragments or by rates, and not by a path that fails. */
  onHeld(isHeld: boolean): void;
  /** The peer has the acknowledgement of its last message, and leaves. */
  onBye(): void;
  /** The peer has heard that this side leaves. */
  onByeDone(): void;
  /** The peer ends the connection without all that it had to say; `code`: why (fragments/close-codes.ts). */
  onPeerClose(code: number): void;
  /** The peer's device has the word of `tellClose`, or it cannot get there. */
  onCloseTold(): void;
  /** Which queue pair there is now; `null` for none. */
  onQueuePair(queuePair: QueuePairStatus | null): void;
}

export interface QueuePairStatus {
  readonly qpn: number;
  /** `RTS`, `ERR`, … */
  readonly state: string;
}

/** Which end of which session this is: `secret` is known to its two ends alone. */
export interface SessionEnd {
  readonly role: SessionRole;
  readonly secret: Uint8Array;
}

export interface PrepareOptions {
  /** The address at which the peer reaches this machine. */
  readonly reachedAt: string;
  readonly end: SessionEnd;
}

/** What the peer must know, and what of it stays here. */
export interface Prepared extends SessionParameters {
  /** The memory that is lent to the peer; empty when none is. */
  readonly memory: Uint8Array;
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

export interface LinkFacts {
  /** Whether messages and memory are sealed. */
  readonly isEncrypted: boolean;
}

/** What a program hears that it did not ask for. */
export interface ProgramListener extends StreamListener {
  /** The grant of this number is over, and its memory the program's alone. It may be told before `grant` is answered. */
  onGrantEnded(id: number, reason: string): void;
}

/**
 * What programs ask for through their connection. They number their requests of each kind, so that they can take them
 * back. Memory is the program's, and not copied: both sides use the same bytes.
 */
export interface ProgramPlane extends StreamPlane {
  programListener: ProgramListener | null;
  /** Lets the peer use `bytes` until the grant of this number is over; resolves with what the peer needs to reach them. */
  grant(id: number, bytes: Uint8Array, terms: GrantTerms): Promise<MemoryRange>;
  /** Takes the memory of a grant back. Resolves when its key opens nothing. Idempotent. */
  revoke(id: number, reason: string): Promise<void>;
  /** Resolves when the peer's device has all of the message, which is no longer than the peer takes. */
  send(request: number, tag: number, data: Uint8Array): Promise<void>;
  /**
   * Takes a message back. Resolves with `true` when nothing of it has left: then `send` is never answered; else with
   * `false`: then all of it leaves, and its memory is free.
   */
  withdraw(request: number): Promise<boolean>;
  /** Gives `waiter` the next message of the peer, or `undefined` when no more will come. */
  receive(waiter: Waiter): void;
  /** Takes a receive back. Resolves with whether it was in time: then its waiter is never called, and no message is lost. */
  forget(request: number): Promise<boolean>;
  /**
   * Writes or reads memory of the peer. Resolves when that has been carried out, and settles when nothing of it is under way
   * any more, also when the program has given it up.
   */
  transfer(request: number, order: TransferOrder): Promise<void>;
  /** Gives a transfer up. Resolves at once with how far it had come. */
  cancel(request: number): Promise<GivenUp>;
  /** New memory that stays registered as long as the connection lives. */
  allocate(bytes: number): Promise<Uint8Array>;
  /** How far the present queue pair has come; `null` where there is none, or where the device cannot tell. */
  progress(): Promise<QueuePairProgress | null>;
  /** What the present queue pair counts; empty where there is none, or where the device counts for all alone. */
  counters(): Promise<Readonly<Record<string, number>>>;
  /** Nothing more is taken from the peer. */
  endReceiving(): void;
}

export interface DataPlane {
  listener: DataPlaneListener | null;
  /** Makes the objects, or a new queue pair for those that exist. */
  prepare(options: PrepareOptions): Promise<Prepared>;
  /** What the peer may not tell of its queue pair. `sessionAddress`: of its end of the session. */
  peerFault(peer: PeerPath, sessionAddress: string): Promise<PeerFault | undefined>;
  /** Brings the queue pair to RTS and posts the receives: the peer may send. Resolves with what was agreed on. */
  connect(link: LinkTerms): Promise<LinkFacts>;
  /**
   * Both sides are ready: sends the peer two messages that hold nothing, one of which fills a packet, and resolves when
   * its device has both.
   *
   * @throws RdmaError what ended the link.
   */
  prove(terms: Terms): Promise<void>;
  /**
   * Sends what waits.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent.
   */
  open(terms: Terms): Promise<void>;
  /** Resolves when no request of ours waits for the peer's answer, or when the link ends. */
  answered(): Promise<void>;
  /** Ends the link, after taking what had arrived. Resolves with the number of the fragment that would come next. Idempotent. */
  disconnect(cause: RdmaError): Promise<number | undefined>;
  /** Sends a message that holds nothing, unless something is under way: its arrival and its acknowledgement are signs of life. */
  beat(): void;
  /** Asks the peer's program for a word of its own, whatever is under way. */
  askProgram(): void;
  /** Tells the peer, after all that was sent before, that nothing more will come. */
  quit(): void;
  /** Tells the peer that what it has acknowledged was all: it need not be there any longer. */
  bye(): void;
  /** Tells the peer that this side ends without all that it had to say; `code`: why. Nothing else is sent any more. */
  tellClose(code: number): void;
  /** Nothing more is taken from the peer. */
  endReceiving(): void;
  /**
   * Frees everything. What waits ends with `error`, or in order if there is none; `peerReceived`: what the peer had before it left counts
   * as done. Resolves with the number of the fragment that would come next.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent; everything is free then.
   */
  destroy(error: RdmaError | undefined, peerReceived?: number): Promise<number | undefined>;
}
