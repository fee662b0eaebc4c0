/**
 * One-sided operations of a connection, over all its links. An operation that was posted when its link ended may or may
 * not have been carried out: one that may be repeated is posted again on the next link, in its place, any other is
 * rejected with ERR_RDMA_OUTCOME_UNKNOWN. One that waits is never posted on a link that has failed. One that is given up
 * while it waits, also for its repetition, is taken out.
 */
import { RdmaError } from '../../verbs/errors.js';
import type { Work, WorkTracker } from '../fragments/work-tracker.js';
import { givenUp, type Transfer, type TransferHolder } from './transfer.js';

/**
 * How many links may end under an operation because of what the peer asked for. Two sides that both ask for what they may
 * not have never get an answer: each gives up its queue pair before it hears what became of its own request.
 */
const MAX_BREAKS = 8;
const BREAKS: readonly (string | undefined)[] = ['QP_ACCESS_ERR', 'QP_REQ_ERR'];

/** Operations in the send queue at a time; the rest of its places belong to messages. */
export const MAX_POSTED_OPERATIONS = 64;

interface Operation {
  readonly work: Work;
  readonly transfer: Transfer;
  /** Links that ended under it because of what the peer asked for. */
  breaks: number;
  /** Of its request on the present link. */
  number: number;
  resolve(): void;
  reject(error: RdmaError): void;
}

export class OneSidedOperations implements TransferHolder {
  readonly #waiting: Operation[] = [];
  /** Posted on the link that is ending, and to be posted again before those that wait. */
  readonly #unanswered: Operation[] = [];
  #posted = 0;
  #tracker: WorkTracker | null = null;
  /** Requests up to this number have been carried out, also where their answer is missing. */
  #carriedOut = 0;
  #failure: RdmaError | undefined;

  /** Operations that have not ended. */
  get pending(): number {
    return this.#waiting.length + this.#unanswered.length + this.#posted;
  }

  /**
   * Resolves when the peer's device has carried it out.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION with the verbs status, ERR_RDMA_OUTCOME_UNKNOWN, or why the connection ended.
   */
  run(work: Work, transfer: Transfer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (transfer.isGivenUp) return Promise.reject(givenUp());
    return new Promise((resolve, reject) => {
      transfer.holder = this;
      this.#waiting.push({ work, transfer, breaks: 0, number: 0, resolve, reject });
      this.#pump();
    });
  }

  withdraw(transfer: Transfer, error: RdmaError): void {
    for (const queue of [this.#waiting, this.#unanswered]) {
      const index = queue.findIndex((operation) => operation.transfer === transfer);
      if (index >= 0) queue.splice(index, 1)[0]?.reject(error);
    }
  }

  /** A link is up. */
  attach(tracker: WorkTracker): void {
    this.#tracker = tracker;
    this.#posted = 0;
    this.#waiting.unshift(...this.#unanswered.splice(0));
    this.#pump();
  }

  /** The peer has ended the connection, and has carried out the requests of the link up to this number. */
  carriedOut(last: number): void {
    this.#carriedOut = last;
  }

  /** The link is over; its work has ended. */
  detach(): void {
    this.#tracker = null;
  }

  /** Ends everything that waits, and whatever comes later, with `error`. */
  fail(error: RdmaError): void {
    this.#failure ??= error;
    this.#tracker = null;
    this.#posted = 0;
    const open = [...this.#unanswered.splice(0), ...this.#waiting.splice(0)];
    for (const operation of open) operation.reject(error);
  }

  #pump(): void {
    const tracker = this.#tracker;
    while (tracker?.isUsable === true && this.#posted < MAX_POSTED_OPERATIONS) {
      const operation = this.#waiting.shift();
      if (operation === undefined) return;
      this.#posted++;
      operation.transfer.hasBegun = true;
      operation.number = tracker.post(operation.work, (error) => {
        if (tracker === this.#tracker) this.#posted--;
        this.#settle(operation, error);
        this.#pump();
      });
    }
  }

  #settle(operation: Operation, error: RdmaError | undefined): void {
    const { transfer } = operation;
    // Only a read needs the answer itself.
    const isDone = transfer.isWrite && operation.number <= this.#carriedOut;
    if (error === undefined || (isDone && error.code === 'ERR_RDMA_OUTCOME_UNKNOWN')) operation.resolve();
    else if (error.code !== 'ERR_RDMA_OUTCOME_UNKNOWN') operation.reject(error);
    else if (!transfer.repeatable || isBrokenTooOften(operation, error)) operation.reject(error);
    else if (transfer.isGivenUp) operation.reject(error);
    else if (this.#failure !== undefined) operation.reject(this.#failure);
    else this.#unanswered.push(operation);
  }
}

function isBrokenTooOften(operation: Operation, { cause }: RdmaError): boolean {
  if (cause instanceof RdmaError && BREAKS.includes(cause.status)) operation.breaks++;
  return operation.breaks === MAX_BREAKS;
}

/** How a link ends the operations whose outcome it cannot tell. */
export const outcomeUnknown = (cause: RdmaError): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'the connection failed before the peer answered: the operation may or may not have been carried out',
    { cause },
  );
