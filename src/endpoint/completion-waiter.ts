/**
 * How a program waits for completions: it looks a while, then arms the queues, looks once more, and sleeps until the
 * device has something; or it never sleeps, and gives the event loop a turn now and then. A wait that is over at once
 * costs no turn of the event loop and no promise. Nobody waits for ever: where nothing comes in for long, it is an
 * error that says what to look at.
 *
 * One waiter serves the queues of one endpoint, and one wait at a time.
 */
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { createCompletions, statusName, WcStatus, type WorkCompletion } from '../verbs/work-completion.js';

/** Told of each completion; may post more. The object is filled anew afterwards: keep numbers, not the object. */
export type TakeCompletion = (completion: WorkCompletion) => void;

export interface WaitOptions {
  /** Sleep until the device has something (default), rather than to look again and again. */
  readonly sleeps?: boolean;
  /**
   * Polls in a row that find nothing, before it sleeps or gives the event loop a turn. Default: 1 for those who sleep,
   * and for those who do not `pollsPerTurn` of the device's attributes.
   */
  readonly looks?: number;
  /** Without progress. Default 10,000; `Infinity` for those who have other ways to learn that nothing will come. */
  readonly timeoutMillis?: number;
  /** What to look at when nothing comes in, as a question. */
  readonly hint?: string;
}

export interface WaiterQueues {
  readonly channel: CompletionChannel;
  readonly sendCq: CompletionQueue;
  /** May be the same. */
  readonly recvCq: CompletionQueue;
  /** Of the device's attributes. */
  readonly pollsPerTurn: number;
}

const { SUCCESS } = WcStatus;
const POLLED_AT_ONCE = 32;
/** How often a sleeper is looked after, in parts of its patience. */
const CHECKS_PER_TIMEOUT = 4;
const DEFAULT_TIMEOUT_MILLIS = 10_000;
const DEFAULT_HINT = 'do UDP packets get through between the two devices?';

export class CompletionWaiter {
  readonly #channel: CompletionChannel;
  readonly #cq: CompletionQueue;
  /** The send queue's, where it is another one. */
  readonly #secondCq: CompletionQueue | null;
  readonly #sleeps: boolean;
  readonly #looks: number;
  readonly #timeoutMillis: number;
  readonly #hint: string;
  readonly #completions = createCompletions(POLLED_AT_ONCE);
  #watch: NodeJS.Timeout | undefined;
  /** Turns of the watch since something came in. */
  #quietChecks = 0;
  #isSilent = false;
  #wake: (() => void) | undefined;
  #failed: RdmaError | undefined;
  /**
   * Of a completion that came together with others. A wait that these have ended succeeds, as when they had come one after
   * the other: a peer's last acknowledgement and its farewell, which flushes the receives, are often in one look.
   */
  #failure: RdmaError | undefined;

  constructor(queues: WaiterQueues, options: WaitOptions = {}) {
    const { channel, sendCq, recvCq, pollsPerTurn } = queues;
    const { sleeps = true, timeoutMillis = DEFAULT_TIMEOUT_MILLIS, hint = DEFAULT_HINT } = options;
    const looks = options.looks ?? (sleeps ? 1 : pollsPerTurn);
    if (!Number.isInteger(looks) || looks < (sleeps ? 0 : 1)) {
      throw usageError(`looks must be an integer of ${sleeps ? 0 : 1} or more, not ${looks}`);
    }
    if (!(timeoutMillis > 0)) throw usageError(`timeoutMillis must be above 0, not ${timeoutMillis}`);
    this.#channel = channel;
    this.#cq = recvCq;
    this.#secondCq = sendCq === recvCq ? null : sendCq;
    this.#sleeps = sleeps;
    this.#looks = looks;
    this.#timeoutMillis = timeoutMillis;
    this.#hint = hint;
  }

  /**
   * Hands completions to `take` until `isDone`. Both may post more; `isDone` is asked at first, and whenever something
   * has been taken. Returns `undefined` when all is done at once.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION for a completion that failed, ERR_RDMA_TIMEOUT when nothing comes in any more,
   * and what {@link giveUp} was told.
   */
  until(isDone: () => boolean, take: TakeCompletion): Promise<void> | undefined {
    if (this.#look(isDone, take)) return undefined;
    return this.#sleeps ? this.#sleepUntil(isDone, take) : this.#lookUntil(isDone, take);
  }

  /**
   * Fills the next completions in, failed ones too, and resolves with their number: 0 when none came in
   * `timeoutMillis`.
   */
  async take(into: readonly WorkCompletion[], timeoutMillis = this.#timeoutMillis): Promise<number> {
    const deadline = performance.now() + timeoutMillis;
    for (;;) {
      this.#arm();
      const count = this.#poll(into);
      if (count > 0) return count;
      if (this.#failed !== undefined) throw this.#failed;
      const restMillis = deadline - performance.now();
      if (restMillis <= 0) return 0;
      const timer = Number.isFinite(restMillis) ? setTimeout(this.#onEvent, restMillis) : undefined;
      await this.#event();
      clearTimeout(timer);
    }
  }

  /** Ends the running wait, and those that are begun later, with `error`. The first one counts. */
  giveUp(error: RdmaError): void {
    this.#failed ??= error;
    this.#wakeUp();
  }

  /** Ends what is waiting. Idempotent. */
  close(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
    this.giveUp(new RdmaError('ERR_RDMA_CLOSED', 'the endpoint is closed; open a new one'));
  }

  #look(isDone: () => boolean, take: TakeCompletion): boolean {
    if (isDone()) return true;
    if (this.#failure !== undefined) throw this.#takeFailure();
    const looks = this.#looks;
    for (let polls = 0; polls < looks; polls++) {
      if (!this.#drain(take)) continue;
      if (isDone()) return true;
      if (this.#failure !== undefined) throw this.#takeFailure();
      polls = -1;
    }
    return false;
  }

  /** Armed before it drains, so that no completion falls between. */
  async #sleepUntil(isDone: () => boolean, take: TakeCompletion): Promise<void> {
    do {
      this.#arm();
      let found = false;
      while (this.#drain(take)) found = true;
      if (found && isDone()) return;
      if (this.#failure !== undefined) throw this.#takeFailure();
      if (this.#failed !== undefined) throw this.#failed;
      this.#startWatch();
      await this.#event();
      if (this.#isSilent) throw this.#silence();
    } while (this.#failed !== undefined || !this.#look(isDone, take));
  }

  async #lookUntil(isDone: () => boolean, take: TakeCompletion): Promise<void> {
    let deadline = performance.now() + this.#timeoutMillis;
    do {
      await new Promise(setImmediate);
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#drain(take)) deadline = performance.now() + this.#timeoutMillis;
      else if (performance.now() > deadline) throw this.#silence();
    } while (!this.#look(isDone, take));
  }

  #arm(): void {
    this.#cq.reqNotify();
    this.#secondCq?.reqNotify();
  }

  #event(): Promise<void> {
    if (this.#wake !== undefined) {
      throw new RdmaError('ERR_RDMA_INVALID_STATE', 'a waiter waits once at a time; await the wait before');
    }
    this.#quietChecks = 0;
    this.#isSilent = false;
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#channel.onEvent = this.#onEvent;
    });
  }

  readonly #onEvent = (): void => this.#wakeUp();

  #wakeUp(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    this.#channel.onEvent = null;
    wake();
  }

  #startWatch(): void {
    if (this.#watch !== undefined || !Number.isFinite(this.#timeoutMillis)) return;
    this.#watch = setInterval(() => this.#check(), this.#timeoutMillis / CHECKS_PER_TIMEOUT);
  }

  #check(): void {
    if (this.#wake === undefined || ++this.#quietChecks <= CHECKS_PER_TIMEOUT) return;
    this.#isSilent = true;
    this.#wakeUp();
  }

  /** Returns whether there was anything. */
  #drain(take: TakeCompletion): boolean {
    const found = this.#drainOne(this.#cq, take);
    return this.#secondCq === null ? found : this.#drainOne(this.#secondCq, take) || found;
  }

  #drainOne(cq: CompletionQueue, take: TakeCompletion): boolean {
    const count = cq.poll(this.#completions);
    for (let i = 0; i < count; i++) {
      const completion = this.#completions[i] as WorkCompletion;
      if (completion.status === SUCCESS) take(completion);
      else this.#failure ??= failed(completion);
    }
    return count > 0;
  }

  #takeFailure(): RdmaError | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  #poll(into: readonly WorkCompletion[]): number {
    const count = this.#cq.poll(into);
    return count > 0 || this.#secondCq === null ? count : this.#secondCq.poll(into);
  }

  #silence(): RdmaError {
    return new RdmaError(
      'ERR_RDMA_TIMEOUT',
      `nothing came in for ${this.#timeoutMillis / 1000} s: ${this.#hint}`,
    );
  }
}

function failed({ status }: WorkCompletion): RdmaError {
  const name = statusName(status);
  return new RdmaError('ERR_RDMA_COMPLETION', `a request failed with ${name}`, { status: name });
}
