/** What the NIC lets send in turn: its queue pairs, and queue pair 1. */
import type { TransmitBatch } from './transmit-batch.js';

export interface Sender {
  readonly counters: { txPackets: number; txBytes: number };
  /** Kept by the NIC's scheduler, as is `nextScheduled`. */
  scheduled: boolean;
  nextScheduled: Sender | null;
  /** Never sends again. */
  readonly destroyed: boolean;
  /** Sends what may be sent; returns whether there is more that only wants for room or its turn. */
  transmit(batch: TransmitBatch, now: number): boolean;
}
