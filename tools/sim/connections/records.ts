/** What the programs of a simulation did and what came of it, for the checks at the end. */
import type { StreamId } from '../../../src/connection/streams/stream-table.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { StreamPart } from './scenario.js';

/** How a promise settled. `null`: with success. */
export interface Outcome {
  readonly error: RdmaError | null;
  readonly at: number;
}

/** How long a program waits for a call. */
export interface Waited {
  /** With which its signal aborts. */
  readonly reason: Error;
  readonly timeoutMillis: number | null;
  /** When it does not wait any longer. */
  endsAt: number;
}

/** Timers of Node.js know whole milliseconds. */
export const ROUNDING_MILLIS = 1;

/** Whether an error says that the program itself did not want to wait; of a timeout, it may be another's. */
export const isOwn = (error: unknown, { reason, timeoutMillis }: Waited): boolean =>
  error instanceof RdmaError &&
  ((error.code === 'ERR_RDMA_ABORTED' && error.cause === reason) ||
    (error.code === 'ERR_RDMA_TIMEOUT' && timeoutMillis !== null));

interface Asked {
  /** The connection had ended for its program by then, or was about to. */
  readonly wasEnding: boolean;
  readonly at: number;
  outcome: Outcome | undefined;
}

export interface SendRecord extends Asked {
  /** Position among the messages of its direction. */
  readonly number: number;
  readonly data: Uint8Array;
  /** Tells of memory that the sender lends. */
  readonly isGrant: boolean;
  /** What waited to be sent before, as the connection counts it. */
  readonly queuedBytes: number;
  /** `null`: it waits for as long as it takes. */
  readonly waited: Waited | null;
}

export interface OneSidedRecord extends Asked {
  readonly kind: 'write' | 'read';
  readonly number: number;
  readonly repeatable: boolean;
  /** Asks for what it may not have, or what may be taken from it any time. */
  readonly isRefusable: boolean;
  /** How often the connection had gone down before. */
  readonly failuresBefore: number;
  /** Where it shows in the peer's memory that it was carried out; `null` for reads. */
  readonly trace: { readonly memory: Uint8Array; readonly at: number; readonly magic: number } | null;
  executions: number;
  /** Operations that were under way before. */
  readonly othersUnderWay: number;
  /** `null`: it waits for as long as it takes. */
  readonly waited: Waited | null;
}

export interface GrantRecord extends Asked {
  readonly memory: Uint8Array;
  /** The memory as it was when the grant was over. */
  after: Uint8Array | undefined;
}

/** Something that a program asked of a stream. */
export interface StreamCall {
  readonly kind: 'write' | 'end';
  readonly bytes: number;
  outcome: Outcome | undefined;
}

interface StreamDirection {
  /** Written, or read. */
  bytes: number;
  hasEnded: boolean;
  /** The code of the reset that this side said, or heard; `null` = none. */
  reset: number | null;
}

/** One end of a stream, as its program knows it. */
export interface StreamEnd {
  readonly id: StreamId;
  readonly part: StreamPart;
  readonly calls: StreamCall[];
  readonly outgoing: StreamDirection;
  readonly incoming: StreamDirection;
  readonly source: ByteSource;
  readonly expected: ByteSource;
  /** All is written, and nobody has ended it. */
  isLeft: boolean;
  isReading: boolean;
}

/** Bytes without end, in pieces; each tells its place. */
export class ByteSource {
  #state: number;

  constructor(...seeds: readonly number[]) {
    this.#state = hashOf(seeds);
  }

  next(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#state = fill(bytes, this.#state);
    return bytes;
  }
}

/** Bytes that tell their place: a message or a piece of memory filled with them is like no other. */
export function pattern(length: number, ...seeds: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(bytes, hashOf(seeds));
  return bytes;
}

const hashOf = (seeds: readonly number[]): number =>
  seeds.reduce((hash, seed) => Math.imul(hash ^ seed, 0x9e3779b1) ^ (hash >>> 15), 0x2545f491);

/** Returns the state from which to go on. */
function fill(bytes: Uint8Array, from: number): number {
  let state = from;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = state >>> 24;
  }
  return state;
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
