/**
 * The proof that a link carries packets in both directions: the first message of each end holds nothing, and the other
 * end's device acknowledges it.
 *
 * It is no progress of the connection: a path may carry a small message and lose all that is larger, and a connection
 * that then recovered for ever would be worse than one that ends.
 */
import type { RdmaError } from '../verbs/errors.js';

export class LinkProof {
  /** Resolves when the peer's device has our first message; rejects with what ended the link. */
  readonly proven: Promise<void>;
  #isProven = false;
  #hasArrived = false;
  #resolve: () => void = () => {};
  #reject: (error: RdmaError) => void = () => {};

  constructor() {
    this.proven = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A link may end before anybody waits.
    this.proven.catch(() => {});
  }

  get isProven(): boolean {
    return this.#isProven;
  }

  /** A message of the peer is here; returns whether it is more than the peer's part of the proof. */
  onArrived(): boolean {
    const isMore = this.#hasArrived;
    this.#hasArrived = true;
    return isMore;
  }

  /** Our message has ended. */
  onDone(error: RdmaError | undefined): void {
    if (error !== undefined) {
      this.fail(error);
      return;
    }
    this.#isProven = true;
    this.#resolve();
  }

  fail(error: RdmaError): void {
    this.#reject(error);
  }
}
