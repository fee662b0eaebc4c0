/**
 * One incarnation of a connection's data path: a queue pair in RTS, the work posted to it and the completions that come
 * of it. A connection has one link after the other; each ends once, by a failure or because it is stopped.
 *
 * Invariant: what the device has received before the end is handed out, also after a failure: the peer's device has
 * acknowledged it, so the peer will not send it again.
 */
import { asRdmaError, RdmaError } from '../verbs/errors.js';
import { QpState } from '../verbs/qp-state.js';
import type { QueuePair, QueuePairEvent } from '../verbs/queue-pair.js';
import { createCompletions, WcStatus, type WorkCompletion } from '../verbs/work-completion.js';
import type { ConnectionResources } from './resources.js';
import { completionError, WorkTracker } from './work-tracker.js';

const POLL_BATCH = 32;
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

/** For one link at a time, and none waits for it: thousands need no completions of their own. */
let spareCompletions: WorkCompletion[] | null = createCompletions(POLL_BATCH);

export class Link {
  readonly qp: QueuePair;
  readonly tracker: WorkTracker;
  readonly #resources: ConnectionResources;
  readonly #listener: LinkListener;
  readonly #stopEvents: () => void;
  #over = false;
  #isFlushed = false;

  /** The queue pair of `resources` must be in RTS. */
  constructor(resources: ConnectionResources, listener: LinkListener) {
    this.qp = resources.qp;
    this.tracker = new WorkTracker(resources.qp);
    this.#resources = resources;
    this.#listener = listener;
    this.#stopEvents = resources.qp.onAsyncEvent((event) => this.#onAsyncEvent(event));
    resources.channel.onEvent = () => this.#drain();
  }

  /** Takes what has arrived by now, and from the first call on also what arrives later. */
  take(): void {
    this.#drain();
  }

  /**
   * Puts the queue pair into ERR, hands out what had arrived, and ends all work with `error`. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when what had arrived breaks the rules.
   */
  async stop(error: RdmaError): Promise<void> {
    this.#stopEvents();
    this.#resources.channel.onEvent = null;
    this.#over = true;
    this.tracker.retire();
    try {
      if (!this.qp.closed && this.qp.state !== QpState.RESET) await this.qp.modify({ state: QpState.ERR });
      this.#takeRest();
    } finally {
      this.tracker.fail(error);
    }
  }

  #takeRest(): void {
    const completions = takeCompletions();
    try {
      this.#drainSends(completions);
      this.#drainReceives(completions);
    } finally {
      spareCompletions = completions;
    }
  }

  /** Arms both queues and takes what is there; what comes later raises an event. */
  #drain(): void {
    if (this.#over) return;
    const { sendCq, recvCq } = this.#resources;
    const completions = takeCompletions();
    try {
      sendCq.reqNotify();
      recvCq.reqNotify();
      // Receives first: a failed send may end the link, but never what arrived before.
      const receiveFailure = this.#drainReceives(completions);
      const failure = this.#drainSends(completions) ?? receiveFailure;
      if (failure !== undefined) this.#fail(failure);
      else if (this.#isFlushed) this.#failSoon();
    } catch (error) {
      this.#fail(asRdmaError(error, 'the connection failed'));
    } finally {
      spareCompletions = completions;
    }
  }

  /** Ends the requests that have completed; returns the first error that was not just a consequence. */
  #drainSends(completions: WorkCompletion[]): RdmaError | undefined {
    const { sendCq } = this.#resources;
    let failure: RdmaError | undefined;
    for (let count = sendCq.poll(completions); count > 0; count = sendCq.poll(completions)) {
      // Those that succeeded come first, and make room in a queue that is over already.
      if (this.#holdsFailure(completions, count)) this.tracker.retire();
      for (let i = 0; i < count; i++) {
        const completion = completions[i];
        if (completion === undefined || completion.qpn !== this.qp.qpn) continue;
        const { status } = completion;
        if (this.#succeeded(status)) this.#listener.onProgress();
        else if (status !== WcStatus.WR_FLUSH_ERR) failure ??= completionError(status);
        // What has no answer ends with the link and its reason.
        if (!UNANSWERED.includes(status)) this.tracker.onCompletion(completion);
      }
    }
    return failure;
  }

  /** Hands out what has arrived; returns the first error that was not just a consequence. */
  #drainReceives(completions: WorkCompletion[]): RdmaError | undefined {
    const { recvCq } = this.#resources;
    let failure: RdmaError | undefined;
    for (let count = recvCq.poll(completions); count > 0; count = recvCq.poll(completions)) {
      for (let i = 0; i < count; i++) {
        const completion = completions[i];
        if (completion === undefined || completion.qpn !== this.qp.qpn) continue;
        const { status, wrId, byteLen } = completion;
        if (this.#succeeded(status)) {
          this.#listener.onFragment(wrId, byteLen);
        } else if (status !== WcStatus.WR_FLUSH_ERR) {
          failure ??= completionError(status);
        }
      }
    }
    return failure;
  }

  #holdsFailure(completions: readonly WorkCompletion[], count: number): boolean {
    for (let i = 0; i < count; i++) {
      const completion = completions[i];
      if (completion?.qpn === this.qp.qpn && completion.status !== WcStatus.SUCCESS) return true;
    }
    return false;
  }

  #succeeded(status: number): boolean {
    if (status === WcStatus.WR_FLUSH_ERR) this.#isFlushed = true;
    return status === WcStatus.SUCCESS;
  }

  /** Flushed requests tell that the queue pair failed, but not why: what says why may come within this turn. */
  #failSoon(): void {
    setImmediate(() => this.#fail(completionError(WcStatus.WR_FLUSH_ERR)));
  }

  #onAsyncEvent({ type }: QueuePairEvent): void {
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

/** Give it back to `spareCompletions`. Whoever drains amid the draining of another link gets some of its own. */
function takeCompletions(): WorkCompletion[] {
  const completions = spareCompletions ?? createCompletions(POLL_BATCH);
  spareCompletions = null;
  return completions;
}
