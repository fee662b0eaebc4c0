/** Queue pairs and shared receive queues (`ibv_qp`, `ibv_srq`). */
import type { Qpn } from './brands.js';
import type { CompletionQueue } from './completion-queue.js';
import type { QpAttributes, QpCapacity, QpSnapshot } from './qp-attributes.js';
import type { QpState, QpType } from './qp-state.js';
import type { ReceiveWorkRequest, SendWorkRequest } from './work-request.js';

export interface QueuePairOptions {
  /** Default RC. */
  readonly type?: QpType;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly srq?: SharedReceiveQueue;
  /** Missing values get defaults: 128 send and receive requests, 16 SGEs, 256 bytes inline. */
  readonly capacity?: Partial<QpCapacity>;
  /** Every send request produces a completion, SIGNALED or not (`sq_sig_all`). Default false. */
  readonly signalAll?: boolean;
}

/** Packets since the queue pair came up, modulo 2^24. They tell how far PSNs have come, but not where they began. */
export interface QueuePairProgress {
  /** Numbered, and sent at least once or about to be. */
  readonly sent: number;
  readonly acknowledged: number;
  /** Of the peer, taken in sequence. */
  readonly received: number;
}

/** What a queue pair tells its own listeners. */
export type QueuePairEvent =
  | { readonly type: 'QP_FATAL' | 'QP_REQ_ERR' | 'QP_ACCESS_ERR'; readonly qp: QueuePair }
  | { readonly type: 'SQ_DRAINED' | 'QP_LAST_WQE_REACHED' | 'COMM_EST'; readonly qp: QueuePair };

export interface QueuePair extends AsyncDisposable {
  readonly qpn: Qpn;
  readonly type: QpType;
  readonly state: QpState;
  /** As granted, which may be more than was asked. */
  readonly capacity: Readonly<QpCapacity>;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  /** Where its receives come from; `null` when it has a queue of its own. */
  readonly srq: SharedReceiveQueue | null;
  readonly closed: boolean;
  /**
   * Changes state and attributes (`ibv_modify_qp`).
   *
   * @throws RdmaError ERR_RDMA_INVALID_STATE or ERR_RDMA_INVALID_ARGUMENT, naming the transition and the attribute.
   */
  modify(attributes: QpAttributes): Promise<void>;
  query(): Promise<QpSnapshot>;
  /** Counters by name: packets, bytes, retransmissions, drops by reason. Empty where the device counts for all alone. */
  counters(): Readonly<Record<string, number>>;
  /** How far it has come, for those who watch; `null` for services without acknowledgements, left out by devices that cannot tell. */
  readonly progress?: QueuePairProgress | null;
  /**
   * Posts one request (`ibv_post_send`). What can be known now throws; what happens later is a completion.
   *
   * @throws RdmaError ERR_RDMA_INVALID_STATE before RTS, ERR_RDMA_QUEUE_FULL when no slot is free (poll the send CQ),
   * ERR_RDMA_INVALID_ARGUMENT for a request that can never be right.
   */
  postSend(request: SendWorkRequest): void;
  /** Posts in order; when one throws, those before it are posted. The device is told once for all of them. */
  postSendBatch(requests: readonly SendWorkRequest[]): void;
  /** Posts a receive (`ibv_post_recv`). Throws as `postSend` does, and where the queue pair has an SRQ. */
  postRecv(request: ReceiveWorkRequest): void;
  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void;
  /**
   * Events of this queue pair alone, until it is closed; observers of all of them listen to the device.
   * Returns the function that removes the listener.
   */
  onAsyncEvent(listener: (event: QueuePairEvent) => void): () => void;
  /** Destroys it (`ibv_destroy_qp`): outstanding requests vanish without completions. Idempotent. */
  close(): Promise<void>;
}

export interface SharedReceiveQueueOptions {
  readonly maxWr: number;
  /** Default 16. */
  readonly maxSge?: number;
}

export interface SharedReceiveQueue extends AsyncDisposable {
  readonly maxWr: number;
  readonly maxSge: number;
  readonly closed: boolean;
  postRecv(request: ReceiveWorkRequest): void;
  postRecvBatch(requests: readonly ReceiveWorkRequest[]): void;
  /** Arms the one-shot SRQ_LIMIT_REACHED event: raised when fewer than `limit` receives remain; 0 disarms. */
  setLimit(limit: number): Promise<void>;
  /** @throws RdmaError ERR_RDMA_IN_USE while a queue pair uses it. Idempotent. */
  close(): Promise<void>;
}
