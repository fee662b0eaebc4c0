/** What a queue pair needs of its NIC: memory, turns to send, timers, and somebody to tell. `Q`: the queue pair. */
import type { AddressVector } from '../../verbs/address-handle.js';
import type { Counters } from '../counters.js';
import type { Flow } from '../flow.js';
import type { RegionTable } from '../memory/region-table.js';
import type { Sender } from '../sender.js';
import type { BindRequest } from './bind-request.js';

/** Asynchronous events of a queue pair. */
export interface QpEvent<Q> {
  readonly type:
    | 'QP_FATAL'
    | 'QP_REQ_ERR'
    | 'QP_ACCESS_ERR'
    | 'SQ_DRAINED'
    | 'QP_LAST_WQE_REACHED'
    | 'COMM_EST';
  readonly qp: Q;
}

export interface NicHost<Q> {
  readonly counters: Counters;
  readonly regions: RegionTable;
  /** Bytes that the largest UD datagram carries. */
  readonly activeMtu: number;
  /** Whether an acknowledgement leaves behind the requests of its turn. */
  readonly acknowledgesLast: boolean;
  /** @throws RdmaError for an address vector that cannot be. */
  createFlow(av: AddressVector): Flow;
  /** Gives the sender its turn. */
  schedule(sender: Sender): void;
  armTimer(qp: Q, at: number): void;
  raise(event: QpEvent<Q>): void;
  /** Returns whether the window could be bound. */
  bindWindow(qp: Q, bind: BindRequest): boolean;
  /** Carries out what a call of the program has brought about. */
  settle(): void;
}
