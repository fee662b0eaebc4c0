/** What the main thread and the threads of the fuzzer say to each other. */
import type { CampaignResult } from './campaign.js';
import type { Crash } from './crash.js';

export interface Job {
  readonly target: string;
  readonly count: number;
  /** Infinity = no limit. */
  readonly seconds: number;
}

export interface WorkerSetup {
  readonly jobs: readonly Job[];
  readonly seed: number;
  /** Module with the targets. */
  readonly catalogUrl: string;
  /** Shared: inputs so far, length of the present input, index of the present job; then the bytes of the input. */
  readonly current: SharedArrayBuffer;
}

export const CURRENT_HEADER_INTS = 4;
export const MAX_INPUT_BYTES = 65_536;

export type WorkerMessage =
  | {
      readonly type: 'progress';
      readonly target: string;
      readonly count: number;
      readonly corpus: number;
    }
  | { readonly type: 'crash'; readonly crash: Crash }
  | { readonly type: 'done'; readonly target: string; readonly result: CampaignResult }
  | { readonly type: 'edges'; readonly edges: readonly string[] };
