/** What the NIC lets send in turn: its queue pairs, and queue pair 1 (turns.ts). */
import type { TransmitBatch } from './transmit-batch.js';

export interface Sender {
  readonly counters: { txPackets: number; txBytes: number };
  /** Kept by the turns, as are the two behind it. */
  scheduled: boolean;
  nextScheduled: Sender | null;
  /** What its next turn may cost more than others, mostly less than 0: what its last one cost too much. */
  credit: number;
  /** Never sends again. */
  readonly destroyed: boolean;
  /** Sends what may be sent; returns whether there is more that only wants for room or its turn. */
  transmit(batch: TransmitBatch, now: number): boolean;
}
