/** What happens in one simulation of connections, as data: JSON in and out, so that a scenario can be made smaller. */
import type { StepName } from '../../../src/connection/common/steps.js';
import type { FirstNumbers } from '../../../testkit/near-wraps.js';
import type { ControlVerb } from '../../../testkit/virtual-device.js';

export type Side = 'client' | 'server';
export const otherSide = (side: Side): Side => (side === 'client' ? 'server' : 'client');

export interface EndOptions {
  receiveSlots: number;
  slotBytes: number;
  maxMessageBytes: number;
  bufferBytes: number;
  encryption: boolean;
  recoveryMillis: number;
  keepAliveMillis: number;
  lifeline: 'session' | 'brief';
  handshakeDeadlineMillis: number;
  sendQueueBytes: number;
  maxOperations: number;
}

/** How long a program waits for a call. Negative: its signal has aborted before; `null`: never. */
export interface Patience {
  abortAfter: number | null;
  timeoutMillis: number | null;
}

/** Uses the peer's lent buffer. `wrong`: beyond its end. */
export interface OneSidedOperation {
  kind: 'write' | 'read';
  at: number;
  bytes: number;
  repeatable: boolean;
  wrong: boolean;
  patience: Patience | null;
}

/** Lends memory to the peer, who writes and reads it; `revokeAfter` it was made, `null` = never. */
export interface GrantOperation {
  kind: 'grant';
  at: number;
  bytes: number;
  revokeAfter: number | null;
}

/** What one end of a stream does on it. */
export interface StreamPart {
  /** Bytes of each write, and the time between two. */
  writes: number[];
  gapMillis: number;
  /** After the last write. `leave`: nothing. */
  ending: 'end' | 'reset' | 'leave';
  /** From when there is something to read until it is read. */
  readMillis: number;
  /** Reads nothing for so long at first; `null` = until everything else is done. */
  stallMillis: number | null;
  /** Of the reset. */
  code: number;
}

export interface StreamOperation {
  kind: 'stream';
  at: number;
  opener: StreamPart;
  acceptor: StreamPart;
}

/** Something that the program at one end does. Times count from when the connection is up. */
export type Operation =
  | { kind: 'send'; at: number; bytes: number; patience: Patience | null }
  | OneSidedOperation
  | GrantOperation
  | StreamOperation
  /** Takes no messages for a while. */
  | { kind: 'sleep'; at: number; millis: number }
  | { kind: 'close'; at: number }
  | { kind: 'abort'; at: number };

export interface ConnectionPlan {
  /** When the client begins to connect. */
  startAt: number;
  /** Clients of one host share its device. */
  host: number;
  client: EndOptions;
  operations: Record<Side, Operation[]>;
  /** Time between two messages that a program takes. */
  takeMillis: Record<Side, number>;
  /** How long it waits for a message, and then does so again. */
  takePatience: Record<Side, Patience | null>;
  /** When the client no longer wants to be connected, from its call on; `null` = never. */
  abortAfter: number | null;
  /** The client closes when all that can come to its end without those that stand still has done so, and then these. */
  isPatient: boolean;
}

export type Direction = 'both' | 'toClient' | 'toServer';

/** A fault hits one connection plan (`plan`), and whatever shares its path or device. */
export type FaultKind =
  | { kind: 'dark'; direction: Direction }
  | { kind: 'loss'; direction: Direction; probability: number }
  | { kind: 'stall'; direction: Direction }
  | { kind: 'blackout' }
  | { kind: 'reset'; whoLearns: 'both' | Side }
  | { kind: 'queuePair'; side: Side; withEvent: boolean }
  /** The programs of this end's machine stop, and its device goes on. */
  | { kind: 'halt'; side: Side }
  | { kind: 'verb'; side: Side; verb: ControlVerb; times: number }
  /** The server's machine dies with all that it knows, and another takes its place. */
  | { kind: 'restart' }
  /** Somebody with the client's certificate and token comes back as well. */
  | { kind: 'ghost'; goesOn: boolean }
  /** The server closes, and nobody takes its place. */
  | { kind: 'closeServer' };

/** At a time, or when an end of the plan's connection has reported a step so often. */
export type Trigger = { at: number } | { side: Side; step: StepName; count: number; after: number };

export interface Fault {
  plan: number;
  trigger: Trigger;
  lasts: number;
  what: FaultKind;
}

export interface Bounds {
  bytesPerSecond: number;
  burstBytes: number;
}

export interface Scenario {
  readonly seed: number;
  server: EndOptions;
  slots: number;
  /** Streams that each side may have open, and their windows. */
  streams: { open: number; windowBytes: number };
  /** What one client may send and be sent; `null` = no bounds. */
  rates: { fromClient: Bounds; toClient: Bounds } | null;
  /** Where counters begin. */
  first: FirstNumbers;
  /** UDP packets of this client host never pass in these directions: not from the beginning, and not after all is healed. */
  blocked: { host: number; direction: Direction } | null;
  /** PSNs begin just below their wrap. */
  nearPsns: boolean;
  plans: ConnectionPlan[];
  faults: Fault[];
  path: { delayMillis: number; jitterMillis: number; loss: number; duplicate: number; reorder: number };
  /** The longest that a control verb takes. */
  verbMillis: number;
  /** When all faults are over. */
  healAt: number;
}
