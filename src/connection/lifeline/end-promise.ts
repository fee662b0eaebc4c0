/**
 * The end of a connection, for whoever waits for it: there is a promise from when somebody asks for it. Thousands of connections of a
 * server have nobody who does.
 */
import type { RdmaError } from '../../verbs/errors.js';

type Outcome = RdmaError | undefined;

export class EndPromise {
  #promise: Promise<Outcome> | null = null;
  #resolve: ((outcome: Outcome) => void) | null = null;

  /** The same one each time. */
  get promise(): Promise<Outcome> {
    this.#promise ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#promise;
  }

  /** The end has come; once. */
  come(outcome: Outcome): void {
    if (this.#resolve === null) this.#promise ??= Promise.resolve(outcome);
    else this.#resolve(outcome);
  }
}
