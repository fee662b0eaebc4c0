/**
 * The requests that a connection has in the send queue of one link: gives each a number and calls back when it
 * completes. All of it ends exactly once: with its completion, or with the error that ended the link.
 *
 * Fragments leave in their order and none is left out: when the device refuses one, no other follows it, and the link ends.
 */
import { asOwnFault, asRdmaError, RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { statusName, WcStatus, type WorkCompletion } from '../../verbs/work-completion.js';
import { SendFlags, type SendWorkRequest, type Sge, WrOpcode } from '../../verbs/work-request.js';

/** Called once, with `undefined` on success. */
export type WorkDone = (error: RdmaError | undefined) => void;
export type Work = Omit<SendWorkRequest, 'wrId'>;

/** Bytes of registered memory. */
interface Payload {
  readonly mr: MemoryRegion | null;
  readonly mrAt: number;
  readonly length: number;
}

export interface WorkOwner {
  /** The device has refused a fragment, and the link cannot go on. Never called from inside. */
  onRefused(error: RdmaError): void;
}

const UNHURRIED = SendFlags.SIGNALED | SendFlags.UNHURRIED;

/** Places of a ring that nobody has used; a power of two. */
const FIRST_PLACES = 2;

export class WorkTracker {
  readonly #qp: QueuePair;
  readonly #owner: WorkOwner;
  /** What to call for the requests from the oldest that has not ended to the newest: a ring, as they end about in their order. */
  #open: (WorkDone | null)[] = new Array<WorkDone | null>(FIRST_PLACES).fill(null);
  #oldestId = 1;
  #nextId = 1;
  #pending = 0;
  #waiting: (() => void)[] | null = null;
  #isRetired = false;
  #hasRefused = false;
  #failure: RdmaError | undefined;

  constructor(qp: QueuePair, owner: WorkOwner) {
    this.#qp = qp;
    this.#owner = owner;
  }

  /** Requests that have not ended. */
  get pending(): number {
    return this.#pending;
  }

  /** Whether what is posted now can get anywhere: what can wait is better kept for the next link otherwise. */
  get isUsable(): boolean {
    return !this.#isRetired && this.#failure === undefined && this.#qp.state === QpState.RTS;
  }

  /** The link is ending: what is posted now might come, and nobody would learn it. A queue pair may fail before its link has heard. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** The link is ending: what was posted still ends with its completion. */
  retire(): void {
    this.#isRetired = true;
  }

  /** Resolves when every request has ended. */
  answered(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting ??= [];
      this.#waiting.push(resolve);
    });
  }

  /** Posts `work`. Callers keep to what the send queue holds. `done` is never called from inside. Returns its number. */
  post(work: Work, done: WorkDone): number {
    const wrId = this.#nextId++;
    this.#post({ ...work, wrId, flags: (work.flags ?? 0) | SendFlags.SIGNALED }, done);
    return wrId;
  }

  /** Number of the request that was posted last; later ones have greater numbers. */
  get last(): number {
    return this.#nextId - 1;
  }

  /**
   * A SEND of memory of `mr`, and of a payload elsewhere behind it, which is a fragment. Always of one shape, as the data path makes it
   * for every one of them. `isHurried`: somebody waits for `done`. Returns whether the device took it; if not, the link is over, and
   * `done` is not called.
   */
  send(
    mr: MemoryRegion,
    offset: number,
    length: number,
    done: WorkDone,
    payload: Payload | null = null,
    isHurried = true,
  ): boolean {
    if (this.#failure !== undefined || this.#hasRefused) return false;
    const wrId = this.#nextId++;
    const sges: Sge[] = [{ mr, offset, length }];
    if (payload !== null)
      sges.push({ mr: payload.mr as MemoryRegion, offset: payload.mrAt, length: payload.length });
    try {
      const flags = isHurried ? SendFlags.SIGNALED : UNHURRIED;
      this.#submit({ wrId, opcode: WrOpcode.SEND, flags, sges }, done);
      return true;
    } catch (error) {
      this.#hasRefused = true;
      this.retire();
      const refusal = asOwnFault(error, 'the device refused to send a message');
      queueMicrotask(() => this.#owner.onRefused(refusal));
      return false;
    }
  }

  #post(request: SendWorkRequest, done: WorkDone): void {
    const failure = this.#failure;
    if (failure !== undefined) {
      queueMicrotask(() => done(failure));
      return;
    }
    try {
      this.#submit(request, done);
    } catch (error) {
      queueMicrotask(() => done(asRdmaError(error, 'the request could not be posted')));
    }
  }

  #submit(request: SendWorkRequest, done: WorkDone): void {
    const { wrId } = request;
    if (wrId - this.#oldestId >= this.#open.length) this.#grow();
    this.#open[this.#placeOf(wrId)] = done;
    this.#pending++;
    try {
      this.#qp.postSend(request);
    } catch (error) {
      this.#take(wrId);
      throw error;
    }
  }

  onCompletion(completion: WorkCompletion): void {
    const done = this.#take(completion.wrId);
    if (done === null) return;
    done(completion.status === WcStatus.SUCCESS ? undefined : completionError(completion.status));
    if (this.#waiting !== null && this.#pending === 0) this.#tellWaiting();
  }

  /** Ends whatever is open with `error`, and whatever comes later too. */
  fail(error: RdmaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const open: WorkDone[] = [];
    for (let wrId = this.#oldestId; wrId < this.#nextId; wrId++) {
      const done = this.#take(wrId);
      if (done !== null) open.push(done);
    }
    for (const done of open) done(error);
    this.#tellWaiting();
  }

  #tellWaiting(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const resolve of waiting) resolve();
  }

  /** What to call for a request that ends now; `null` for one that has ended. */
  #take(wrId: number): WorkDone | null {
    if (wrId < this.#oldestId || wrId >= this.#nextId) return null;
    const place = this.#placeOf(wrId);
    const done = this.#open[place] as WorkDone | null;
    if (done === null) return null;
    this.#open[place] = null;
    this.#pending--;
    while (this.#oldestId < this.#nextId && this.#open[this.#placeOf(this.#oldestId)] === null)
      this.#oldestId++;
    return done;
  }

  #placeOf(wrId: number): number {
    return wrId & (this.#open.length - 1);
  }

  /** Twice the places. */
  #grow(): void {
    const before = this.#open;
    const places = 2 * before.length;
    const grown = new Array<WorkDone | null>(places).fill(null);
    for (let i = 0; i < before.length; i++) {
      const wrId = this.#oldestId + i;
      grown[wrId & (places - 1)] = before[wrId & (before.length - 1)] as WorkDone | null;
    }
    this.#open = grown;
  }
}

const EXPLANATIONS = new Map<number, string>([
  [
    WcStatus.RETRY_EXC_ERR,
    'the peer did not answer; it may be gone, or the network may drop its UDP packets',
  ],
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
