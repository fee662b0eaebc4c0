/**
 * How the ends of pingpong and perftest wait: they look at the completion queue again and again, or sleep until the
 * device has something. A wait that is over at once costs no turn of the event loop and no promise.
 */
import type { CompletionChannel, CompletionQueue } from '../verbs/completion-queue.js';
import { RdmaError } from '../verbs/errors.js';
import { createCompletions, statusName, WcStatus, type WorkCompletion } from '../verbs/work-completion.js';

export type Take = (completion: WorkCompletion) => void;

export interface WaitOptions {
  /** Of the device's attributes. */
  readonly pollsPerTurn: number;
  /** Sleep until the device has something, rather than to look again and again. */
  readonly useEvents: boolean;
  /** Without progress. */
  readonly timeoutMillis: number;
  /** What both sides must have in common: `-n and -m`. */
  readonly common: string;
}

const POLLED_AT_ONCE = 16;
/** How often a sleeper is looked after, in parts of its patience. */
const CHECKS_PER_TIMEOUT = 4;

export class CompletionWait {
  readonly #cq: CompletionQueue;
  readonly #channel: CompletionChannel;
  readonly #options: WaitOptions;
  readonly #pollsInARow: number;
  readonly #completions = createCompletions(POLLED_AT_ONCE);
  #watch: NodeJS.Timeout | undefined;
  /** Turns of the watch since something came in. */
  #quietChecks = 0;
  #giveUp: ((error: RdmaError) => void) | undefined;

  constructor(cq: CompletionQueue, channel: CompletionChannel, options: WaitOptions) {
    this.#cq = cq;
    this.#channel = channel;
    this.#options = options;
    this.#pollsInARow = options.useEvents ? 1 : options.pollsPerTurn;
  }

  /**
   * Hands completions to `take` until `isDone`, which may post more. `undefined` when that is so at once.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION for one that failed, ERR_RDMA_TIMEOUT when nothing happens any more.
   */
  until(isDone: () => boolean, take: Take): Promise<void> | undefined {
    return this.#look(isDone, take) ? undefined : this.#wait(isDone, take);
  }

  /** Idempotent. */
  close(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #look(isDone: () => boolean, take: Take): boolean {
    if (isDone()) return true;
    for (let polls = 0; polls < this.#pollsInARow; polls++) {
      if (!this.#drain(take)) continue;
      if (isDone()) return true;
      polls = -1;
    }
    return false;
  }

  async #wait(isDone: () => boolean, take: Take): Promise<void> {
    const { useEvents, timeoutMillis } = this.#options;
    let deadline = performance.now() + timeoutMillis;
    do {
      if (useEvents) {
        this.#cq.reqNotify();
        if (!this.#drain(take)) await this.#event();
      } else {
        await new Promise(setImmediate);
        if (this.#drain(take)) deadline = performance.now() + timeoutMillis;
        else if (performance.now() > deadline) throw this.#silence();
      }
    } while (!this.#look(isDone, take));
  }

  #event(): Promise<void> {
    this.#quietChecks = 0;
    this.#watch ??= setInterval(() => this.#check(), this.#options.timeoutMillis / CHECKS_PER_TIMEOUT);
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      this.#channel.onEvent = () => {
        this.#channel.onEvent = null;
        this.#giveUp = undefined;
        resolve();
      };
    });
  }

  #check(): void {
    if (this.#giveUp === undefined || ++this.#quietChecks <= CHECKS_PER_TIMEOUT) return;
    this.#channel.onEvent = null;
    this.#giveUp(this.#silence());
    this.#giveUp = undefined;
  }

  #drain(take: Take): boolean {
    const count = this.#cq.poll(this.#completions);
    for (let i = 0; i < count; i++) {
      const completion = this.#completions[i] as WorkCompletion;
      if (completion.status !== WcStatus.SUCCESS) throw failed(completion);
      take(completion);
    }
    return count > 0;
  }

  #silence(): RdmaError {
    const { timeoutMillis, common } = this.#options;
    return new RdmaError(
      'ERR_RDMA_TIMEOUT',
      `nothing came in for ${timeoutMillis / 1000} s: do both sides have the same ${common}, ` +
        'and do packets get through on UDP port 4791?',
    );
  }
}

function failed({ status }: WorkCompletion): RdmaError {
  const name = statusName(status);
  return new RdmaError('ERR_RDMA_COMPLETION', `a request failed with ${name}`, { status: name });
}
