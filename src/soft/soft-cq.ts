/** Completion queues and channels of the soft device. */
import type { Cq } from '../roce/completion/cq.js';
import { CqArm } from '../roce/completion/cq.js';
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import { EventQueue } from '../verbs/event-queue.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import type { Driver } from './driver.js';

export class SoftCq implements CompletionQueue {
  readonly engine: Cq;
  readonly channel: SoftChannel | null;
  readonly #live: LiveObjects;
  readonly #driver: Driver;
  #closed = false;

  constructor(engine: Cq, channel: SoftChannel | null, live: LiveObjects, driver: Driver) {
    this.engine = engine;
    this.channel = channel;
    this.#live = live;
    this.#driver = driver;
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

  /**
   * A queue that is empty drives the device itself, so that a thread which only polls needs no event loop. While there
   * are completions it does not, and neither does another queue of the device in between: what was posted meanwhile
   * leaves as one batch when they are all taken.
   */
  poll(into: readonly WorkCompletion[], max: number = into.length): number {
    if (this.#closed) throw closedError('the completion queue');
    if (this.engine.overrun && this.engine.count === 0) {
      throw new RdmaError(
        'ERR_RDMA_INVALID_STATE',
        `the completion queue overran its ${this.capacity} entries and lost completions; create a larger one`,
      );
    }
    if (!Number.isInteger(max) || max < 0) throw usageError(`poll takes 0 or more completions, not ${max}`);
    if (this.engine.count === 0 && max > 0) this.#driver.poll(this.engine);
    const taken = this.engine.poll(into, max);
    if (taken > 0) this.#driver.noteTaken();
    return taken;
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
    this.engine.clear();
    this.#live.cqs--;
    if (this.channel !== null) this.channel.users--;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class SoftChannel extends EventQueue implements CompletionChannel {
  users = 0;
  readonly #live: LiveObjects;

  constructor(live: LiveObjects) {
    super();
    this.#live = live;
    live.channels++;
  }

  belongsTo(live: LiveObjects): boolean {
    return this.#live === live;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    if (this.users > 0) {
      throw new RdmaError('ERR_RDMA_IN_USE', 'close the completion queues that use the channel first');
    }
    this.#live.channels--;
    this.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
