/**
 * What a queue pair asks of the two halves of its service, whichever service it is: RC (`Requester`, `Responder`),
 * UC (`UnreliableRequester`, `UcResponder`) or UD (`UnreliableRequester`, `UdResponder`).
 */
import type { Datagram } from '../datagram.js';
import type { DropReason } from '../drop-reason.js';
import type { TransmitBatch } from '../transmit-batch.js';
import type { PacketView } from '../wire/packet.js';
import type { SendQueue } from './send-queue.js';

export interface RequesterHalf {
  readonly queue: SendQueue;
  /** Nothing that was sent waits for an answer. */
  readonly idle: boolean;
  /** Nothing started is unfinished: what SQD waits for. */
  readonly drained: boolean;
  /** When `handleTimeout` wants to be called, µs; Infinity = never. */
  readonly nextDeadline: number;
  /** At the transition to RTS. */
  start(sqPsn: number, maxRdAtomic: number): void;
  /** In SQD: another limit of READs and atomics. */
  resize(maxRdAtomic: number): void;
  /** Forgets everything, without completions. */
  reset(): void;
  /** Completes everything that is left with WR_FLUSH_ERR. */
  flush(): void;
  /** Sends up to `budget` packets; returns whether it stopped for want of budget or room, with more to send. */
  transmit(batch: TransmitBatch, budget: number, now: number): boolean;
  handleTimeout(now: number): void;
  /** The peer says that packets of this queue pair meet congestion on their way. */
  onCongestionNotice(): void;
}

export interface ResponderHalf {
  /** Answers are waiting to be sent. */
  readonly hasResponses: boolean;
  /** What waits is one acknowledgement, and nothing else. */
  readonly hasOnlyAcknowledgement: boolean;
  /** When `handleTimeout` wants to be called, µs; Infinity = never. */
  readonly nextDeadline: number;
  /** At the transition to RTR. */
  start(rqPsn: number, maxDestRdAtomic: number): void;
  /** In SQD: another number of READs and atomics. What is remembered or waits to be sent is kept as far as it fits. */
  resize(maxDestRdAtomic: number): void;
  /** Forgets everything, without completions. */
  reset(): void;
  /** Completes the receive that is half filled, if any, with WR_FLUSH_ERR. */
  flush(): void;
  /** Takes one request packet; returns the reason if it had no effect on memory or queues. */
  onRequest(packet: PacketView, datagram: Datagram, now: number): DropReason;
  /** Sends up to `budget` answers; returns how many it sent. */
  transmit(batch: TransmitBatch, budget: number): number;
  handleTimeout(now: number): void;
  dropAnswers(): void;
}
