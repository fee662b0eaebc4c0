/**
 * What the scale benchmark asks of its two processes, and what they answer. The orchestrator sends one order at a time and
 * waits for the answer, so that both sides are always in the same phase.
 */
import type { LifelineKind } from '../../../src/connection/terms/options.js';

export type ScaleOrder =
  /** Says what memory the process has in use when garbage is collected. */
  | { readonly type: 'memory' }
  | { readonly type: 'time' }
  /** Client: opens connections, `together` at a time. */
  | { readonly type: 'open'; readonly count: number; readonly together: number }
  /** Client: round trips over the connections that were opened first, in turn, `together` at a time. */
  | {
      readonly type: 'exchange';
      readonly active: number;
      readonly count: number;
      readonly together: number;
    }
  | { readonly type: 'leave' };

export interface MemoryUse {
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** Memory of JavaScript's buffers. */
  readonly bufferBytes: number;
  /** Connections that are open. */
  readonly open: number;
}

/** Processor time so far, all threads, and when that was. */
export interface TimeUse {
  readonly cpuMicros: number;
  /** How long the main thread stood still while V8 collected garbage. */
  readonly collectedMillis: number;
  readonly atMicros: number;
}

export interface Exchanged {
  readonly p50Micros: number;
  readonly p99Micros: number;
}

export type ScaleAnswer =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'memory'; readonly memory: MemoryUse }
  | { readonly type: 'time'; readonly time: TimeUse }
  | { readonly type: 'opened' }
  | { readonly type: 'exchanged'; readonly exchanged: Exchanged }
  | { readonly type: 'failed'; readonly message: string };

/** What the server does with a message: sends it back, after some work or without. */
export type ServedBy = 'echo' | 'work';

export type ScaleKind = 'queuepair' | 'bare-tls';

export interface ScalePeerConfig {
  readonly role: 'server' | 'client';
  readonly kind: ScaleKind;
  readonly host: string;
  /** The client's: where the server listens. */
  readonly port: number;
  readonly device: string;
  readonly certificates: string;
  /** Of connections of ours. */
  readonly lifeline?: LifelineKind;
  /** Connections that there will be at most. */
  readonly most: number;
  /** Worker threads of the server, and their handler; default: none. */
  readonly workers?: number;
  readonly handler?: ServedBy;
}
