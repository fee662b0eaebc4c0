/**
 * What handlers have seen, in memory of all threads, so that it outlives a worker: how often each message was taken, and what
 * went wrong. Every attempt to send something is a message of its own, with a number.
 */
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';

export const CHANNEL = 'queuepair chaos';
/** How a worker is to die. */
export const DEATHS = ['throw', 'reject', 'exit', 'amid'] as const;
export type Death = (typeof DEATHS)[number];

/** What is said on the channel. */
export interface DeathOrder {
  readonly threadId: number;
  readonly death: Death;
}

/** Number of the attempt, and bytes that follow from it. */
export const HEADER_BYTES = 4;

const KEY = 'queuepair chaos ledger';
const MOST_ATTEMPTS = 4 * 1024 * 1024;
const FAULTS_AT = 0;

export class SharedLedger {
  readonly #taken: Uint8Array;
  readonly #faults: Int32Array;

  private constructor(memory: SharedArrayBuffer) {
    this.#faults = new Int32Array(memory, 0, 2);
    this.#taken = new Uint8Array(memory, this.#faults.byteLength);
  }

  /** In the main thread, before the workers begin. */
  static create(): SharedLedger {
    const memory = new SharedArrayBuffer(8 + MOST_ATTEMPTS);
    setEnvironmentData(KEY, memory);
    return new SharedLedger(memory);
  }

  /** In a worker. */
  static inherited(): SharedLedger {
    return new SharedLedger(getEnvironmentData(KEY) as SharedArrayBuffer);
  }

  take(attempt: number): void {
    Atomics.add(this.#taken, attempt, 1);
  }

  taken(attempt: number): number {
    return Atomics.load(this.#taken, attempt);
  }

  /** A handler got a message before one that was sent earlier, or with other bytes. */
  noteFault(kind: 'reordered' | 'corrupted'): void {
    Atomics.add(this.#faults, FAULTS_AT + (kind === 'reordered' ? 0 : 1), 1);
  }

  get reordered(): number {
    return Atomics.load(this.#faults, FAULTS_AT);
  }

  get corrupted(): number {
    return Atomics.load(this.#faults, FAULTS_AT + 1);
  }
}

/** The message of an attempt. */
export function messageOf(attempt: number, lengthBytes: number): Buffer {
  const message = Buffer.alloc(HEADER_BYTES + lengthBytes, attempt & 0xff);
  message.writeUInt32LE(attempt);
  return message;
}

export const isWhole = (message: Uint8Array, attempt: number): boolean =>
  message.subarray(HEADER_BYTES).every((byte) => byte === (attempt & 0xff));
