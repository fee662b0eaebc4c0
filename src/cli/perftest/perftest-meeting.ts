/**
 * How the two ends of a measurement tell each other what they need to know: messages of known lengths, one after the other,
 * over TCP or, with the stock tools' -R, as SENDs of a connection of their own.
 */
import type { PerftestRecord } from './perftest-wire.js';

export interface PerftestMeeting {
  readonly isServer: boolean;
  readonly recordBytes: number;
  formatRecord(record: PerftestRecord): Buffer;
  /** @throws RdmaError ERR_RDMA_PROTOCOL. */
  parseRecord(bytes: Buffer): PerftestRecord;
  send(message: Buffer): Promise<void>;
  /** @throws RdmaError ERR_RDMA_TIMEOUT, ERR_RDMA_CONNECTION_LOST, ERR_RDMA_PROTOCOL. */
  receive(lengthBytes: number): Promise<Buffer>;
  /** Who waits for the measurement of the other end must not lose patience. */
  setPatient(isPatient: boolean): void;
  /** All is said; returns when the peer has said so too, or does not. */
  finish(): Promise<void>;
  close(): Promise<void>;
}
