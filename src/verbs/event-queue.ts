/**
 * The waiting events of a completion channel, and those who wait for them: what `next`, `onEvent` and iteration have in
 * common on every device. Each completion queue is at most once among the waiting events.
 */
import type { CompletionQueue } from './completion-queue.js';
import { closedError, type RdmaError } from './errors.js';

interface Waiter {
  resolve(cq: CompletionQueue): void;
  reject(error: RdmaError): void;
}

export class EventQueue implements AsyncIterable<CompletionQueue> {
  onEvent: ((cq: CompletionQueue) => void) | null = null;
  readonly #events: CompletionQueue[] = [];
  readonly #waiters: Waiter[] = [];
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  /** An armed queue of the channel has fired. */
  deliver(cq: CompletionQueue): void {
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

  /** Those who wait are told; later events are dropped. Idempotent. */
  protected end(): void {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError('the completion channel'));
  }
}
