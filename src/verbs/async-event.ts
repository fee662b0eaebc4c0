/** Asynchronous events of a device (`ibv_async_event`): what no completion can report. */
import type { CompletionQueue } from './completion-queue.js';
import type { QueuePairEvent, SharedReceiveQueue } from './queue-pair.js';

export type AsyncEvent =
  | QueuePairEvent
  | { readonly type: 'CQ_ERR'; readonly cq: CompletionQueue }
  | { readonly type: 'SRQ_LIMIT_REACHED' | 'SRQ_ERR'; readonly srq: SharedReceiveQueue }
  | { readonly type: 'PORT_ACTIVE' | 'PORT_ERR' | 'GID_CHANGE'; readonly port: number }
  | { readonly type: 'DEVICE_FATAL' };
