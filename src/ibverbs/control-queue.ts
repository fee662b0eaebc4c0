/**
 * The life of an object with control verbs that take time: they run one after the other, closing waits for those that
 * run and happens once, and what was begun to be closed takes no new calls.
 */
import { closedError } from '../verbs/errors.js';

export class ControlQueue {
  readonly #what: string;
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** `what` names the object in errors: `the queue pair`. */
  constructor(what: string) {
    this.#what = what;
  }

  /** From the call of `close` on. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** @throws RdmaError ERR_RDMA_CLOSED. */
  checkOpen(): void {
    if (this.#closing !== undefined) throw closedError(this.#what);
  }

  /** Runs `verb` after those before it. @throws RdmaError ERR_RDMA_CLOSED, and what `verb` throws. */
  run<T>(verb: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(closedError(this.#what));
    return this.#enqueue(verb);
  }

  /** Runs `destroy` once. When it fails the object is open again. */
  close(destroy: () => Promise<void>): Promise<void> {
    this.#closing ??= this.#enqueue(destroy).catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  #enqueue<T>(verb: () => Promise<T>): Promise<T> {
    const result = this.#last.then(verb);
    this.#last = result.catch(() => {});
    return result;
  }
}
