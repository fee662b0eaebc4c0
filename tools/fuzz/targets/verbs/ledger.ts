/**
 * Who asked for what: every request that was posted, until it completes. A request completes once, in the order of its
 * queue, and only if it was posted.
 */
import { statusName, WcStatus, type WorkCompletion } from '../../../../src/verbs/work-completion.js';
import { must } from '../../target.js';

/** One queue of requests: the send or receive queue of a queue pair, or a shared receive queue. */
export interface RequestQueue {
  readonly name: string;
  /** Whether completions come in the order of posting. */
  readonly ordered: boolean;
  readonly open: Map<number, { readonly signaled: boolean }>;
  /** Completions of it may have been lost: its completion queue overran. */
  lossy: boolean;
}

export class Ledger {
  completions = 0;
  readonly #queues = new Map<number, RequestQueue>();
  #nextWrId = 1;

  newQueue(name: string, ordered: boolean): RequestQueue {
    return { name, ordered, open: new Map(), lossy: false };
  }

  nextWrId(): number {
    return this.#nextWrId++;
  }

  /** The device took the request. */
  posted(queue: RequestQueue, wrId: number, signaled: boolean): void {
    queue.open.set(wrId, { signaled });
    this.#queues.set(wrId, queue);
  }

  /** The device refused the request. */
  withdrawn(queue: RequestQueue, wrId: number): void {
    queue.open.delete(wrId);
    this.#queues.delete(wrId);
  }

  /** The queue was reset or closed: what it had never completes. */
  forget(queue: RequestQueue): void {
    for (const wrId of queue.open.keys()) this.#queues.delete(wrId);
    queue.open.clear();
  }

  completed({ wrId, status, byteLen }: WorkCompletion): void {
    this.completions++;
    const queue = this.#queues.get(wrId);
    must(queue !== undefined, 'what completes was posted and had not completed');
    must(!statusName(status).startsWith('STATUS_'), `status ${status} has a name`);
    if (status === WcStatus.SUCCESS)
      must(Number.isInteger(byteLen) && byteLen >= 0 && byteLen <= 2 ** 31, 'a length is a length');
    if (queue.ordered) this.#skip(queue, wrId);
    queue.open.delete(wrId);
    this.#queues.delete(wrId);
  }

  /** What was posted before is done, or silent because nobody asked for its success. */
  #skip(queue: RequestQueue, wrId: number): void {
    for (const [earlier, { signaled }] of queue.open) {
      if (earlier === wrId) return;
      must(!signaled || queue.lossy, `requests of ${queue.name} complete in order`);
      queue.open.delete(earlier);
      this.#queues.delete(earlier);
    }
  }

  /** Everything was flushed: no request that must complete may be left. */
  checkFlushed(queue: RequestQueue): void {
    if (queue.lossy) return;
    for (const { signaled } of queue.open.values())
      must(!signaled, `all requests of ${queue.name} completed`);
  }
}
