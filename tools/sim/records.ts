/** What the simulator remembers about each posted request, to judge its completion by. */
import type { WcStatus } from '../../src/verbs/work-completion.js';
import type { Arena, Piece } from './arena.js';
import type { Operation } from './scenario.js';

/**
 * - `posted`: no outcome yet
 * - `success`, `failed`: completed, or implied by a later completion
 * - `lost`: its queue pair was reset, so that nobody will ever know
 * - `skipped`: never posted, because what it depends on failed
 */
export type Outcome = 'posted' | 'success' | 'failed' | 'lost' | 'skipped';

export interface SendRecord {
  readonly operation: Operation;
  /** Place among the requests of its queue pair since the last reset. */
  readonly index: number;
  readonly arena: Arena;
  readonly pieces: readonly Piece[];
  /** SEND and WRITE: the payload, in one piece. */
  readonly data: Uint8Array;
  /** WRITE and READ: the arena at the peer, and where in it; `null` for what reaches none or must not. */
  readonly target: Arena | null;
  readonly targetAt: number;
  readonly imm: number;
  readonly invalidateRkey: number;
  /** It will report success. */
  readonly signaled: boolean;
  readonly postedAt: number;
  outcome: Outcome;
  status: WcStatus;
  settledAt: number;
}

export interface ReceiveRecord {
  readonly wrId: number;
  readonly arena: Arena;
  readonly pieces: readonly Piece[];
  readonly capacity: number;
  outcome: 'posted' | 'done' | 'lost';
}

/** An atomic as the check of shared words sees it. */
export interface AtomicRecord {
  readonly id: number;
  /** Atomics of one group are carried out in the order of their records: they went through one queue pair. */
  readonly group: string;
  readonly isCompareSwap: boolean;
  readonly compare: bigint;
  /** The new value, or the addend. */
  readonly operand: bigint;
  /** The value that it returned; `null` while or because that is unknown. */
  original: bigint | null;
  /** It may have happened without an answer. */
  isOpen: boolean;
  readonly postedAt: number;
  settledAt: number;
}
