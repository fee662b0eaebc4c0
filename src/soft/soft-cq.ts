/** Completion queues and channels of the soft device. */
import type { Cq } from '../roce/completion/cq.js';
import { CqArm } from '../roce/completion/cq.js';
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import type { LiveObjects } from './live-objects.js';

export class SoftCq implements CompletionQueue {
  readonly engine: Cq;
  readonly channel: SoftChannel | null;
  readonly #live: LiveObjects;
  #closed = false;

  constructor(engine: Cq, channel: SoftChannel | null, live: LiveObjects) {
    this.engine = engine;
    this.channel = channel;
    this.#live = live;
    engine.context = this;
    live.cqs++;
    if (channel !== null) channel.users++;
  }

  get capacity(): number {
    return this.engine.capacity;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether it is of the device with these objects. */
  belongsTo(live: LiveObjects): boolean {
    return this.#live === live;
  }

  poll(into: readonly WorkCompletion[], max: number = into.length): number {
    if (this.#closed) throw closedError('the completion queue');
    if (this.engine.overrun && this.engine.count === 0) {
      throw new RdmaError(
        'ERR_RDMA_INVALID_STATE',
        `the completion queue overran its ${this.capacity} entries and lost completions; create a larger one`,
      );
    }
    if (!Number.isInteger(max) || max < 0) throw usageError(`poll takes 0 or more completions, not ${max}`);
    return this.engine.poll(into, max);
  }

  reqNotify(solicitedOnly = false): void {
    if (this.#closed) throw closedError('the completion queue');
    if (this.channel === null) {
      throw new RdmaError('ERR_RDMA_INVALID_STATE', 'the completion queue was created without a channel');
    }
    // A queue armed for everything stays so.
    if (!solicitedOnly) this.engine.arm = CqArm.ALL;
    else if (this.engine.arm === CqArm.NONE) this.engine.arm = CqArm.SOLICITED;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.engine.users > 0) {
      throw new RdmaError('ERR_RDMA_IN_USE', 'close the queue pairs that use the completion queue first');
    }
    this.#closed = true;
    this.#live.cqs--;
    if (this.channel !== null) this.channel.users--;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Waiter {
  resolve(cq: CompletionQueue): void;
  reject(error: RdmaError): void;
}

export class SoftChannel implements CompletionChannel {
  onEvent: ((cq: CompletionQueue) => void) | null = null;
  users = 0;
  readonly #live: LiveObjects;
  readonly #events: SoftCq[] = [];
  readonly #waiters: Waiter[] = [];
  #closed = false;

  constructor(live: LiveObjects) {
    this.#live = live;
    live.channels++;
  }

  get closed(): boolean {
    return this.#closed;
  }

  belongsTo(live: LiveObjects): boolean {
    return this.#live === live;
  }

  /** An armed queue of this channel has fired. Each queue is at most once among the waiting events. */
  deliver(cq: SoftCq): void {
    if (this.#closed || cq.closed) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve(cq);
    else if (this.onEvent !== null) this.onEvent(cq);
    else if (!this.#events.includes(cq)) this.#events.push(cq);
  }

  next(): Promise<CompletionQueue> {
    if (this.#closed) return Promise.reject(closedError('the completion channel'));
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<CompletionQueue> {
    while (!this.#closed) {
      try {
        yield await this.next();
      } catch (error) {
        if (this.#closed) return;
        throw error;
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.users > 0) {
      throw new RdmaError('ERR_RDMA_IN_USE', 'close the completion queues that use the channel first');
    }
    this.#closed = true;
    this.#live.channels--;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError('the completion channel'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
