/**
 * When a driver does the work that posts and datagrams leave behind: once, after the code that runs at the moment and the
 * promises that it settled. So a burst leaves as one batch, and an acknowledgement together with the program's answer.
 *
 * Invariant: after a request the work is done exactly once, and a program that was told of something puts it off once.
 */
export class FlushOrder {
  readonly #flush: () => void;
  readonly #queueFlush = (): void => process.nextTick(this.#flush);
  #isQueued = false;
  #isPutOff = false;

  /** `flush` begins with `begin`. */
  constructor(flush: () => void) {
    this.#flush = flush;
  }

  /** There is something to do: soon. */
  request(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    // Not a microtask: those of the program come first.
    process.nextTick(this.#flush);
  }

  /**
   * As `request`, behind the program that is told of something now. What runs may be a tick itself, and ticks that it
   * queues come before the promises that it settles: so this goes behind those first, and becomes a tick there.
   */
  requestBehindProgram(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    queueMicrotask(this.#queueFlush);
  }

  /** The work is done now. */
  begin(): void {
    this.#isQueued = false;
  }

  /** Whether sending waits for what a program posts that was just told of something; once in a row. */
  mayPutOff(wasTold: boolean): boolean {
    this.#isPutOff = wasTold && !this.#isPutOff;
    return this.#isPutOff;
  }
}
