/** What the machine of a connection's life is told and what it wants done, as plain data, and the states it is in. */
import type { RdmaError } from '../../verbs/errors.js';

/**
 * How the rendezvous with the peer is: `left` when either side ended it in order, and the connection with it; `parted` when this side
 * does without it, and the connection goes on.
 */
export type RendezvousState = 'open' | 'left' | 'lost' | 'parted';

/** Both ends have agreed to do without the rendezvous once they have met. */
export interface BriefLife {
  /**
   * How long the peer may take to notice that this side waits for it, which is time beside that for recovery; 0 for the side that
   * seeks the other.
   */
  readonly noticeMillis: number;
}

export type LifelineInput =
  | { readonly type: 'start' }
  /** While establishing: what lets the peer go up leaves from now on, and the peer can come back to this side. */
  | { readonly type: 'peer-may-be-up' }
  | { readonly type: 'met'; readonly brief?: BriefLife | undefined }
  | { readonly type: 'not-met'; readonly error: RdmaError }
  /** While up: a sign of life of the peer. */
  | { readonly type: 'heard' }
  /** While up: the peer begins to meet anew. */
  | { readonly type: 'peer-restarted' }
  /** While up: the peer has left in order. */
  | { readonly type: 'peer-left' }
  /** While up: both ends do without the rendezvous. */
  | { readonly type: 'parted' }
  /** While up: nothing more will be heard of the peer. */
  | { readonly type: 'rendezvous-ended'; readonly error: RdmaError }
  /** No request of ours waits for the peer's answer any more. */
  | { readonly type: 'answered' }
  | { readonly type: 'link-failed'; readonly error: RdmaError }
  /** `error`: what had arrived breaks the rules. */
  | { readonly type: 'disconnected'; readonly error?: RdmaError }
  | { readonly type: 'new-rendezvous' }
  | { readonly type: 'no-rendezvous'; readonly error: RdmaError }
  /** The last message of the peer is here. */
  | { readonly type: 'peer-quit' }
  | { readonly type: 'quit-done' }
  /** While closing: whether what waits to be sent is held back by limits, which may take long. */
  | { readonly type: 'held'; readonly isHeld: boolean }
  /** The peer has the acknowledgement of its last message, and leaves. */
  | { readonly type: 'peer-bye' }
  | { readonly type: 'bye-done' }
  /** The peer ends without all that it had to say: in order, or because of what `error` tells. */
  | { readonly type: 'peer-close'; readonly error?: RdmaError | undefined }
  /** The peer knows what `send-close` said, or nothing will come of it. */
  | { readonly type: 'close-told' }
  | { readonly type: 'close' }
  | { readonly type: 'abort'; readonly error: RdmaError }
  /** `error`: something could not be freed. */
  | { readonly type: 'destroyed'; readonly error?: RdmaError }
  | { readonly type: 'finished' };

export type LifelineOutput =
  | { readonly type: 'meet' }
  | { readonly type: 'next-rendezvous' }
  /** What meet or next-rendezvous began shall come to its end soon. */
  | { readonly type: 'stop-attempt' }
  | { readonly type: 'await-answers' }
  | { readonly type: 'disconnect'; readonly cause: RdmaError }
  /** Have the peer's device acknowledge something, unless something is under way. */
  | { readonly type: 'beat' }
  /** Ask the peer's program over the link for a word of its own. */
  | { readonly type: 'ask' }
  /** Ask the peer for a sign of life over the rendezvous. */
  | { readonly type: 'ask-peer' }
  /** Give the rendezvous up without a word. */
  | { readonly type: 'drop-rendezvous'; readonly silentMillis: number }
  | { readonly type: 'fail-rendezvous'; readonly error: RdmaError }
  /** Say goodbye; nobody waits for it. */
  | { readonly type: 'leave-rendezvous' }
  | { readonly type: 'send-quit' }
  /** What the peer has acknowledged was the last: it need not be there any longer. */
  | { readonly type: 'send-bye' }
  /** Tell the peer over the link that this side ends without all that it had to say, in order or because of `error`. */
  | { readonly type: 'send-close'; readonly error: RdmaError | undefined }
  | { readonly type: 'end-receiving' }
  | { readonly type: 'destroy'; readonly error: RdmaError | undefined }
  /** Everything of the data path is freed: close the rendezvous, then the rest. */
  | { readonly type: 'finish'; readonly error: RdmaError | undefined }
  | { readonly type: 'report'; readonly step: 'ready' | 'recovered' | 'parted' | 'quit' }
  | { readonly type: 'reconnecting'; readonly cause: RdmaError }
  | { readonly type: 'reconnected' }
  /** Tell of the peer from now on, until the machine is no longer up. */
  | { readonly type: 'watch' }
  /** Do without the rendezvous from now on. */
  | { readonly type: 'part-rendezvous' };

export type DownPhase = 'disconnecting' | 'pausing' | 'rendezvous' | 'meeting';

export type LifelineState =
  | { readonly name: 'establishing' }
  | { readonly name: 'up'; readonly since: number }
  | { readonly name: 'down'; readonly phase: DownPhase }
  /** `waits`: something is under way that must settle before the data path can be destroyed. */
  | { readonly name: 'ending'; readonly error: RdmaError | undefined; readonly waits: boolean }
  | { readonly name: 'ended'; readonly error: RdmaError | undefined };
