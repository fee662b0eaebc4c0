/**
 * What is said between the main thread and a worker, over a port of their own: the one of `parentPort` is left to the
 * handler module. Plain data alone, which is cloned; memory that both sides use is a
 * SharedArrayBuffer. Errors cross as what `RdmaError.toJSON` makes of them.
 *
 * Whatever one side says about a connection comes to the other in that order.
 */
import type { MessagePort } from 'node:worker_threads';
import type { PeerFault } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import type { DeviceCensus } from '../../verbs/device.js';
import type { PlainError } from '../../verbs/errors.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import type { StepName } from '../common/steps.js';
import type {
  LinkFacts,
  LinkTerms,
  Prepared,
  PrepareOptions,
  QueuePairStatus,
} from '../data-path/data-plane.js';
import type { SessionEnds, SessionState } from '../lifeline/connection-life.js';
import type { MemoryRange } from '../memory/remote-buffer.js';
import type { ConnectionStatistics } from '../program/connection.js';
import type { WorkerDevice } from '../program/worker-status.js';
import type { DataPathLimits, MemoryRights } from '../terms/options.js';
import type { OperationBatch } from './operation-relay.js';

/** What a worker begins with. */
export interface WorkerOrder {
  /** Address of the module that exports the handler. */
  readonly handler: string;
  readonly device: string | undefined;
  /** Where the server listens: clients reach the device there. */
  readonly near: string;
  readonly revealPsns: boolean;
  /** V8 has compiled the way of a message before the worker is ready. */
  readonly isWarm: boolean;
}

/** The data of a worker. */
export interface WorkerBeginning {
  readonly order: WorkerOrder;
  readonly port: MessagePort;
  /** Of its `Pulse`. */
  readonly pulse: SharedArrayBuffer;
}

/** Calls that are answered. */
export interface Calls {
  prepare(options: PrepareOptions): Promise<Prepared>;
  peerFault(told: {
    readonly peer: LinkTerms['peer'];
    readonly sessionAddress: string;
  }): Promise<PeerFault | undefined>;
  connect(link: LinkTerms): Promise<LinkFacts>;
  prove(terms: Terms): Promise<void>;
  open(terms: Terms): Promise<void>;
  answered(nothing: null): Promise<void>;
  disconnect(cause: PlainError): Promise<number | undefined>;
  destroy(end: {
    readonly error: PlainError | undefined;
    readonly peerReceived: number | undefined;
  }): Promise<number | undefined>;
  progress(nothing: null): Promise<QueuePairProgress | null>;
  counters(nothing: null): Promise<Readonly<Record<string, number>>>;
  revoke(grant: { readonly id: number; readonly reason: string }): Promise<void>;
}
export type CallName = keyof Calls;

/** What is told to the data plane, and to the program's side of a connection, without an answer. */
export type Told =
  | 'beat'
  | 'askProgram'
  | 'quit'
  | 'bye'
  | 'endReceiving'
  | 'closeProgram'
  | 'endProgramReceiving';

/** A connection that is up, for its program. */
export interface Served {
  readonly server: string;
  readonly ends: SessionEnds;
  readonly session: SessionState;
  readonly terms: Terms;
  readonly isEncrypted: boolean;
}

export type ToWorker =
  | { readonly type: 'begin'; readonly id: number; readonly limits: DataPathLimits }
  | {
      readonly type: 'ask';
      readonly id: number;
      readonly call: number;
      readonly name: CallName;
      readonly value: unknown;
    }
  | { readonly type: 'tell'; readonly id: number; readonly what: Told }
  /** To the data plane: tell the peer why this side ends without all that it had to say. */
  | { readonly type: 'tell-close'; readonly id: number; readonly code: number }
  | { readonly type: 'serve'; readonly id: number; readonly served: Served }
  | { readonly type: 'reconnecting'; readonly id: number; readonly cause: PlainError }
  | { readonly type: 'reconnected'; readonly id: number; readonly ends: SessionEnds }
  /** Both ends do without the session. */
  | { readonly type: 'parted'; readonly id: number }
  /** Everything of the connection is freed. */
  | { readonly type: 'ended'; readonly id: number; readonly error: PlainError | undefined }
  /** Whether anybody in the main thread wants to know of operations; `beganAt`: when its clock began. */
  | { readonly type: 'operations'; readonly on: boolean; readonly beganAt: number }
  | { readonly type: 'close' };

export interface GrantNote {
  readonly id: number;
  readonly rights: MemoryRights;
  readonly range: MemoryRange;
  readonly expiresAtMillis: number | null;
}

export type Counted = Omit<ConnectionStatistics, 'recoveries'>;

export type FromWorker =
  | { readonly type: 'ready'; readonly device: WorkerDevice }
  | { readonly type: 'failed'; readonly error: PlainError }
  | { readonly type: 'answer'; readonly id: number; readonly call: number; readonly value: unknown }
  | { readonly type: 'refusal'; readonly id: number; readonly call: number; readonly error: PlainError }
  /** Of connections: there was progress, or a sign of life at least; and, of brief ones, something that the peer's program has sent. */
  | {
      readonly type: 'alive';
      readonly progressed: readonly number[];
      readonly heard: readonly number[];
      readonly spoken: readonly number[];
    }
  | { readonly type: 'operations'; readonly batch: OperationBatch }
  | { readonly type: 'proof'; readonly id: number; readonly sent: number; readonly arrived: number }
  | { readonly type: 'link-failed'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'quit' | 'quit-done' | 'bye' | 'bye-done' | 'close-told'; readonly id: number }
  | { readonly type: 'peer-close'; readonly id: number; readonly code: number }
  | { readonly type: 'held'; readonly id: number; readonly isHeld: boolean }
  | { readonly type: 'queue-pair'; readonly id: number; readonly queuePair: QueuePairStatus | null }
  | {
      readonly type: 'step';
      readonly id: number;
      readonly name: StepName;
      readonly details: Readonly<Record<string, string | number>>;
    }
  | { readonly type: 'granted'; readonly id: number; readonly grant: GrantNote }
  | { readonly type: 'revoked'; readonly id: number; readonly grant: number; readonly reason: string }
  /** The program ends its connection: in order, or because of an error. */
  | { readonly type: 'close'; readonly id: number }
  | { readonly type: 'abort'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'mistake'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'counted'; readonly id: number; readonly counted: Counted }
  | {
      readonly type: 'report';
      readonly census: DeviceCensus;
      readonly counters: Readonly<Record<string, number>>;
      readonly statistics: readonly (readonly [id: number, counted: Counted])[];
    }
  | { readonly type: 'closed' };
