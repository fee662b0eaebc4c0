/**
 * One incarnation of a connection's data path: a queue pair in RTS, the work posted to it and the completions that come
 * of it. A connection has one link after the other; each ends once, by a failure or because it is stopped.
 *
 * Invariant: what the device has received before the end is handed out, also after a failure: the peer's device has
 * acknowledged it, so the peer will not send it again.
 */
import { asOwnFault, asRdmaError, RdmaError } from '../../verbs/errors.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair, QueuePairEvent } from '../../verbs/queue-pair.js';
import { WcStatus, type WorkCompletion } from '../../verbs/work-completion.js';
import { completionError, type WorkOwner, WorkTracker } from '../fragments/work-tracker.js';
import type { CompletionGroup, CompletionHandler } from './completion-hub.js';
import type { ConnectionResources } from './resources.js';

const nothing = (): void => {};

/** Statuses of requests that may have arrived or not: flushed, or never answered, for which the link fails. */
const UNANSWERED: readonly number[] = [WcStatus.WR_FLUSH_ERR, WcStatus.RETRY_EXC_ERR];

export interface LinkListener {
  /**
   * The receive `slot` holds a fragment of `length` bytes.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer broke the rules.
   */
  onFragment(slot: number, length: number): void;
  /** A request completed. */
  onProgress(): void;
  /** The link has failed and does nothing more; stop it. Called once at most. */
  onFailure(error: RdmaError): void;
}

export class Link implements CompletionHandler, WorkOwner {
  readonly qp: QueuePair;
  readonly tracker: WorkTracker;
  readonly #completions: CompletionGroup;
  readonly #listener: LinkListener;
  #over = false;
  #isFlushed = false;
  /** The first failure that was not just a consequence. */
  #failure: RdmaError | undefined;
  /** The peer broke the rules: nothing more is taken from it. */
  #violation: RdmaError | undefined;

  /** The queue pair of `resources` must be in RTS. */
  constructor(resources: ConnectionResources, listener: LinkListener) {
    this.qp = resources.qp;
    this.tracker = new WorkTracker(resources.qp, this);
    this.#completions = resources.completions;
    this.#listener = listener;
    // For good: its queue pair ends with it, and one that is over does nothing any more.
    resources.qp.onAsyncEvent(this.#completions.onAsyncEvent);
    this.#completions.listen(resources.qp.qpn, this);
  }

  /** Takes what has arrived by now, and from the first call on also what arrives later. */
  take(): void {
    this.#completions.drain();
  }

  /**
   * Puts the queue pair into ERR, hands out what had arrived, and ends all work with `error`; `onQuiet` is called between the two.
   * Idempotent.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when what had arrived breaks the rules.
   */
  async stop(error: RdmaError, onQuiet = nothing): Promise<void> {
    this.#over = true;
    this.tracker.retire();
    const isBroken = this.#violation !== undefined;
    try {
      if (!this.qp.closed && this.qp.state !== QpState.RESET) await this.qp.modify({ state: QpState.ERR });
      await this.#completions.settled();
      this.#completions.drain();
    } finally {
      this.#completions.unlisten(this.qp.qpn, this);
      onQuiet();
      this.tracker.fail(error);
    }
    // What was broken before has ended the link.
    if (!isBroken && this.#violation !== undefined) throw this.#violation;
  }

  onFailureAhead(): void {
    this.tracker.retire();
  }

  /** Hands out what has arrived. */
  onReceive({ status, wrId, byteLen }: WorkCompletion): void {
    if (!this.#succeeded(status)) {
      this.#note(status);
      return;
    }
    if (this.#violation !== undefined) return;
    try {
      this.#listener.onFragment(wrId, byteLen);
    } catch (error) {
      this.#violation = asOwnFault(error, 'the connection failed');
      this.#fail(this.#violation);
    }
  }

  /** Ends a request that has completed. */
  onSend(completion: WorkCompletion): void {
    const { status } = completion;
    try {
      if (this.#succeeded(status)) this.#listener.onProgress();
      else this.#note(status);
      // What has no answer ends with the link and its reason.
      if (!UNANSWERED.includes(status)) this.tracker.onCompletion(completion);
    } catch (error) {
      this.#fail(asRdmaError(error, 'the connection failed'));
    }
  }

  onDrained(): void {
    if (this.#failure !== undefined) this.#fail(this.#failure);
    else if (this.#isFlushed && !this.#over) this.#failSoon();
  }

  onRefused(error: RdmaError): void {
    this.#fail(error);
  }

  onBroken(error: RdmaError): void {
    this.#fail(error);
  }

  #succeeded(status: number): boolean {
    if (status === WcStatus.WR_FLUSH_ERR) this.#isFlushed = true;
    return status === WcStatus.SUCCESS;
  }

  #note(status: number): void {
    if (status !== WcStatus.WR_FLUSH_ERR) this.#failure ??= completionError(status);
  }

  /** Flushed requests tell that the queue pair failed, but not why: what says why may come within this turn. */
  #failSoon(): void {
    setImmediate(() => this.#fail(completionError(WcStatus.WR_FLUSH_ERR)));
  }

  onAsyncEvent({ type }: QueuePairEvent): void {
    if (type === 'QP_ACCESS_ERR' || type === 'QP_REQ_ERR' || type === 'QP_FATAL') {
      const message = `the queue pair failed (${type}): something was asked of it that may not be done`;
      this.#fail(new RdmaError('ERR_RDMA_COMPLETION', message, { status: type }));
    }
  }

  #fail(error: RdmaError): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.onFailure(error);
  }
}
