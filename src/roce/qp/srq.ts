/** A shared receive queue, with its one-shot limit event. */
import type { Sized } from '../../verbs/request-checks.js';
import type { ReceiveWorkRequest } from '../../verbs/work-request.js';
import { type EngineReceive, enqueueReceive, type Handles, OWN_HANDLES } from './posting.js';
import type { CurrentReceive } from './receive-queue.js';
import { ReceiveQueue } from './receive-queue.js';

export class Srq {
  readonly pd: number;
  readonly maxSge: number;
  readonly receives: ReceiveQueue;
  /** The limit event is raised when fewer receives remain; 0 = disarmed. */
  limit = 0;
  /** Queue pairs that take from it. */
  users = 0;
  /** For the object that wraps this one. */
  context: unknown = null;
  readonly #onLimit: (srq: Srq) => void;

  constructor(pd: number, maxWr: number, maxSge: number, onLimit: (srq: Srq) => void) {
    this.pd = pd;
    this.maxSge = maxSge;
    this.receives = new ReceiveQueue(maxWr, maxSge);
    this.#onLimit = onLimit;
  }

  /** @throws RdmaError for a request that cannot be right, and for a queue that is full. */
  postRecv(request: EngineReceive): void;
  postRecv<Mr extends Sized, Mw, Ah>(request: ReceiveWorkRequest<Mr>, handles: Handles<Mr, Mw, Ah>): void;
  postRecv(request: EngineReceive, handles = OWN_HANDLES): void {
    enqueueReceive(this.receives, 'shared receive queue', request, handles);
  }

  takeInto(current: CurrentReceive): boolean {
    if (!this.receives.takeInto(current)) return false;
    if (this.limit > 0 && this.receives.count < this.limit) {
      this.limit = 0;
      this.#onLimit(this);
    }
    return true;
  }
}
