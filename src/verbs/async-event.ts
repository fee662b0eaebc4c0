/** Asynchronous events of a device (`ibv_async_event`): what no completion can report. */
import type { CompletionQueue } from './completion-queue.js';
import type { QueuePair, SharedReceiveQueue } from './queue-pair.js';

/** What a queue pair tells its own listeners. */
export type QueuePairEvent =
  | { readonly type: 'QP_FATAL' | 'QP_REQ_ERR' | 'QP_ACCESS_ERR'; readonly qp: QueuePair }
  | { readonly type: 'SQ_DRAINED' | 'QP_LAST_WQE_REACHED' | 'COMM_EST'; readonly qp: QueuePair };

export type AsyncEvent =
  | QueuePairEvent
  | { readonly type: 'CQ_ERR'; readonly cq: CompletionQueue }
  | { readonly type: 'SRQ_LIMIT_REACHED' | 'SRQ_ERR'; readonly srq: SharedReceiveQueue }
  | { readonly type: 'PORT_ACTIVE' | 'PORT_ERR' | 'GID_CHANGE'; readonly port: number }
  | { readonly type: 'DEVICE_FATAL' };
