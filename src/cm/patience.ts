/** How long a program waits for a meeting: until its time is over or its signal aborts. Nothing of it stays at the signal. */
import { RdmaError } from '../verbs/errors.js';
import { abortedError } from './cm-errors.js';

export const DEFAULT_TIMEOUT_MILLIS = 10_000;
/** For a program that waits until its signal aborts. */
export const FOR_EVER = Number.POSITIVE_INFINITY;

export class Patience {
  readonly timeoutMillis: number;
  readonly #what: string;
  readonly #signal: AbortSignal | undefined;
  readonly #endsAt: number;
  readonly #aborted: Promise<never>;
  #stop = (): void => {};

  /** @throws RdmaError ERR_RDMA_ABORTED when the signal has aborted already. */
  constructor(what: string, timeoutMillis: number, signal: AbortSignal | undefined) {
    if (signal?.aborted === true) throw abortedError(what, signal);
    this.timeoutMillis = timeoutMillis;
    this.#what = what;
    this.#signal = signal;
    this.#endsAt = performance.now() + timeoutMillis;
    this.#aborted = new Promise((_, reject) => {
      if (signal === undefined) return;
      const onAbort = (): void => reject(abortedError(what, signal));
      signal.addEventListener('abort', onAbort);
      this.#stop = () => signal.removeEventListener('abort', onAbort);
    });
    this.#aborted.catch(() => {});
  }

  /** At least 1. */
  get leftMillis(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()));
  }

  /** @throws RdmaError ERR_RDMA_ABORTED. */
  check(): void {
    if (this.#signal?.aborted === true) throw abortedError(this.#what, this.#signal);
  }

  /** For what keeps the time itself. @throws RdmaError ERR_RDMA_ABORTED. */
  untilAborted<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#aborted]);
  }

  /** @throws RdmaError ERR_RDMA_ABORTED or ERR_RDMA_TIMEOUT. */
  async untilOver<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#late(what)), this.leftMillis);
    });
    try {
      return await this.untilAborted(Promise.race([promise, late]));
    } finally {
      clearTimeout(timer);
    }
  }

  /** The wait is over, for good or ill. */
  end(): void {
    this.#stop();
  }

  #late(what: string): RdmaError {
    return new RdmaError(
      'ERR_RDMA_TIMEOUT',
      `${what} did not end within ${this.timeoutMillis} ms: check the name server, or give more time (timeoutMillis)`,
    );
  }
}
