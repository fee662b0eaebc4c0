/**
 * Everything that a connection posts to its send queue: gives each request a number, calls back when it completes, and
 * lets requests wait when the queue is full. All of it ends exactly once: with its completion, or with the error that
 * ended the connection.
 */
import { RdmaError } from '../verbs/errors.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import { statusName, WcStatus, type WorkCompletion } from '../verbs/work-completion.js';
import { SendFlags, type SendWorkRequest } from '../verbs/work-request.js';

/** Called once, with `undefined` on success. */
export type WorkDone = (error: RdmaError | undefined) => void;
export type Work = Omit<SendWorkRequest, 'wrId'>;

interface WaitingWork {
  readonly work: Work;
  readonly done: WorkDone;
}

export class WorkTracker {
  readonly #qp: QueuePair;
  readonly #limit: number;
  readonly #open = new Map<number, WorkDone>();
  readonly #waiting: WaitingWork[] = [];
  #nextId = 1;
  #failure: RdmaError | undefined;

  constructor(qp: QueuePair) {
    this.#qp = qp;
    this.#limit = qp.capacity.maxSendWr;
  }

  /** Requests that have not ended. */
  get pending(): number {
    return this.#open.size + this.#waiting.length;
  }

  /** Posts `work`, now or when there is room. `done` is never called from inside. */
  post(work: Work, done: WorkDone): void {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => done(failure));
    } else if (this.#waiting.length > 0 || this.#open.size >= this.#limit) {
      this.#waiting.push({ work, done });
    } else {
      this.#postNow(work, done);
    }
  }

  onCompletion(completion: WorkCompletion): void {
    const done = this.#open.get(completion.wrId);
    if (done === undefined) return;
    this.#open.delete(completion.wrId);
    done(completion.status === WcStatus.SUCCESS ? undefined : completionError(completion.status));
    while (this.#failure === undefined && this.#open.size < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#postNow(next.work, next.done);
    }
  }

  /** Ends whatever is open with `error`, and whatever comes later too. */
  fail(error: RdmaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const open = [...this.#open.values(), ...this.#waiting.map(({ done }) => done)];
    this.#open.clear();
    this.#waiting.length = 0;
    for (const done of open) done(error);
  }

  #postNow(work: Work, done: WorkDone): void {
    const wrId = this.#nextId++;
    this.#open.set(wrId, done);
    try {
      this.#qp.postSend({ ...work, wrId, flags: (work.flags ?? 0) | SendFlags.SIGNALED });
    } catch (error) {
      this.#open.delete(wrId);
      queueMicrotask(() => done(asRdmaError(error)));
    }
  }
}

function asRdmaError(error: unknown): RdmaError {
  if (error instanceof RdmaError) return error;
  return new RdmaError('ERR_RDMA_INVALID_STATE', 'the request could not be posted', { cause: error });
}

const EXPLANATIONS = new Map<number, string>([
  [WcStatus.RETRY_EXC_ERR, 'the peer did not answer; it may be gone, or the network may drop UDP port 4791'],
  [WcStatus.RNR_RETRY_EXC_ERR, 'the peer posted no receive for the message'],
  [WcStatus.REM_ACCESS_ERR, 'the peer does not grant this access: wrong rkey, range or right'],
  [
    WcStatus.REM_INV_REQ_ERR,
    'the peer refused the request: message too long for its receive, or not allowed',
  ],
  [WcStatus.REM_OP_ERR, 'the peer failed to carry the request out'],
  [WcStatus.LOC_PROT_ERR, 'the local memory of the request is not registered, or not for this access'],
  [WcStatus.LOC_LEN_ERR, 'the message did not fit into the posted receive'],
  [WcStatus.WR_FLUSH_ERR, 'the queue pair failed before the request was carried out'],
]);

/** The error that a failed completion stands for. */
export function completionError(status: number): RdmaError {
  const name = statusName(status);
  const explanation = EXPLANATIONS.get(status) ?? 'the request failed';
  return new RdmaError('ERR_RDMA_COMPLETION', `${name}: ${explanation}`, { status: name });
}
