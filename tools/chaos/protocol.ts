/** What the processes of a chaos run tell each other. Counts only grow, so that the last report before a kill holds. */

/** One connection of a client; a client that lost one begins another. */
export interface Incarnation {
  readonly client: number;
  readonly number: number;
}

/** How far one end of an incarnation is. */
export interface Progress {
  readonly incarnation: Incarnation;
  /** Messages of ours that the peer's device has acknowledged. */
  readonly acknowledged: number;
  /** Messages of the peer that our program has taken. */
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Bodies of streams that were read to their end, and those of them that were shorter or longer than they should be. */
  readonly streams: number;
  readonly streamsLost: number;
  readonly streamsDuplicated: number;
  /** Messages, bodies of streams, or pieces of remote memory, whose bytes were not what they should be. */
  readonly corrupted: number;
  readonly recoveries: number;
  /** The end has come: nothing more will be counted. */
  readonly over: boolean;
  /** Why, unless the end was orderly. */
  readonly failure?: string;
}

export type Report =
  | { readonly event: 'ready'; readonly port: number }
  | { readonly event: 'progress'; readonly progress: Progress }
  | { readonly event: 'memory'; readonly heapBytes: number }
  | { readonly event: 'done'; readonly leaked: object };

export type Order =
  | { readonly order: 'dark'; readonly isDark: boolean }
  | { readonly order: 'loss'; readonly loss: number }
  | { readonly order: 'fail-queue-pairs' }
  /** Reports the memory in use, a server when it has no more clients than this. */
  | { readonly order: 'measure'; readonly clients: number }
  /** Sends nothing more, lets what is under way arrive, closes in order and leaves. */
  | { readonly order: 'finish' };

export interface Setup {
  readonly role: 'server' | 'client';
  readonly client: number;
  /** Where the server listens; for a client, the proxy in front of it. */
  readonly port: number;
  /** First incarnation of a client. */
  readonly incarnation: number;
  readonly certificates: string;
  readonly seed: number;
  readonly device: string;
}
