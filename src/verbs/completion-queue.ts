/** Completion queues and channels (`ibv_cq`, `ibv_comp_channel`). */
import type { WorkCompletion } from './work-completion.js';

export interface CompletionQueueOptions {
  /** Entries wanted. Size it for every work request that can complete into it; an overrun makes it unusable. */
  readonly capacity: number;
  readonly channel?: CompletionChannel;
}

export interface CompletionQueue extends AsyncDisposable {
  readonly capacity: number;
  readonly channel: CompletionChannel | null;
  readonly closed: boolean;
  /**
   * Takes up to `max` completions (default: as many as `into` holds), oldest first, and returns how many it filled
   * in (`ibv_poll_cq`). Allocates nothing.
   *
   * @throws RdmaError ERR_RDMA_CLOSED, or ERR_RDMA_INVALID_STATE after an overrun.
   */
  poll(into: readonly WorkCompletion[], max?: number): number;
  /**
   * Arms the queue for one event on its channel (`ibv_req_notify_cq`): for the next completion, or only for the next
   * solicited or failed one. An entry that came before the call raises no event: arm, then poll until empty, then
   * wait.
   */
  reqNotify(solicitedOnly?: boolean): void;
  /**
   * @throws RdmaError ERR_RDMA_IN_USE while a queue pair uses it. Idempotent.
   */
  close(): Promise<void>;
}

/**
 * Delivers the events of armed completion queues (`ibv_get_cq_event`). Events are acknowledged by being delivered.
 * Use either `onEvent` or iteration, not both.
 */
export interface CompletionChannel extends AsyncDisposable, AsyncIterable<CompletionQueue> {
  /** Called from the event loop, never from inside a post or poll call. */
  onEvent: ((cq: CompletionQueue) => void) | null;
  /** The next event; rejects with ERR_RDMA_CLOSED when the channel is closed. */
  next(): Promise<CompletionQueue>;
  readonly closed: boolean;
  /** @throws RdmaError ERR_RDMA_IN_USE while a completion queue uses it. Idempotent. */
  close(): Promise<void>;
}
