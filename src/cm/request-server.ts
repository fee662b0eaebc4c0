/**
 * A listener as programs know it: requests of clients come by an iterator, by listeners of an event, or one after the other,
 * whoever asks first. What nobody takes waits, and is given back when the server closes.
 *
 * Invariant: no more wait than the backlog, whatever clients do: the device refuses further ones, a client that gives up waits
 * no more, and where that is not enough the oldest makes room.
 */
import { EventEmitter } from 'node:events';
import type { CmAddress, CmListener } from '../verbs/connection-manager.js';
import { abortedError } from './cm-errors.js';
import { checkNext } from './cm-rules.js';
import type { CmNextOptions } from './options.js';

/** A request that can be taken back by its client, or given back by the server. */
export interface Waiting {
  /** Nobody takes it. */
  abandon(): Promise<void>;
  /** Calls `onGone` when the client does not wait any more. */
  watch(onGone: () => void): void;
}

export interface RequestEvents<Request> {
  request: [request: Request];
  /** No more requests. */
  close: [];
}

export class RequestServer<Request extends Waiting>
  extends EventEmitter<RequestEvents<Request>>
  implements AsyncIterable<Request>, AsyncDisposable
{
  #listener: CmListener | undefined;
  /** Oldest first. */
  readonly #waiting = new Set<Request>();
  readonly #backlog: number;
  /** First come, first served. */
  readonly #takers = new Set<(result: IteratorResult<Request, undefined>) => void>();
  /** Requests that are on their way back. */
  readonly #givingBack = new Set<Promise<void>>();
  #finishing: Promise<void> | undefined;
  #isOver = false;

  constructor(backlog: number) {
    super();
    this.#backlog = backlog;
    const emitter = this as unknown as EventEmitter<{ newListener: [name: string] }>;
    emitter.on('newListener', (name) => {
      if (name === 'request') process.nextTick(() => this.#emitWaiting());
    });
  }

  /** Where it listens; the port is of rdma_cm. */
  get address(): CmAddress {
    const { host, port } = this.#listener?.address ?? NOWHERE;
    return { host, port };
  }

  /** The next request, or `undefined` when there are no more. @throws RdmaError ERR_RDMA_ABORTED, ERR_RDMA_INVALID_ARGUMENT. */
  async next(options: CmNextOptions = {}): Promise<Request | undefined> {
    checkNext(options);
    return (await this.#take(options.signal)).value;
  }

  /** Leaving the loop leaves the server open. */
  [Symbol.asyncIterator](): AsyncIterator<Request, undefined> {
    return {
      next: () => this.#take(),
      return: async () => ({ done: true, value: undefined }),
    };
  }

  /** Takes no more requests and has given those back that nobody took when it resolves. Connections stay. Idempotent. */
  async close(): Promise<void> {
    await this.#listener?.close();
    await this.#finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  open(listener: CmListener): void {
    this.#listener = listener;
    listener.ended.then(() => this.#finish());
  }

  /** @internal */
  offer(request: Request): void {
    const [taker] = this.#takers;
    if (taker !== undefined) {
      this.#takers.delete(taker);
      taker({ done: false, value: request });
    } else if (this.#isOver) this.#giveBack(request);
    else this.#keep(request);
    this.#emitWaiting();
  }

  #finish(): Promise<void> {
    this.#finishing ??= this.#finishOnce();
    return this.#finishing;
  }

  async #finishOnce(): Promise<void> {
    this.#isOver = true;
    for (const taker of this.#takers) taker({ done: true, value: undefined });
    this.#takers.clear();
    for (const request of this.#waiting) this.#giveBack(request);
    this.#waiting.clear();
    await Promise.all(this.#givingBack);
    this.emit('close');
  }

  async #take(signal?: AbortSignal): Promise<IteratorResult<Request, undefined>> {
    if (signal?.aborted === true) throw abortedError('next', signal);
    const request = this.#nextWaiting();
    if (request !== undefined) return { done: false, value: request };
    if (this.#isOver) return { done: true, value: undefined };
    return this.#wait(signal);
  }

  /** Who gives up leaves the queue within the abort, so that no request goes to nobody. */
  #wait(signal: AbortSignal | undefined): Promise<IteratorResult<Request, undefined>> {
    return new Promise((resolve, reject) => {
      const taker = (result: IteratorResult<Request, undefined>): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve(result);
      };
      const giveUp = (): void => {
        this.#takers.delete(taker);
        reject(abortedError('next', signal as AbortSignal));
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#takers.add(taker);
    });
  }

  #keep(request: Request): void {
    if (this.#waiting.size >= this.#backlog) {
      const oldest = this.#nextWaiting();
      if (oldest !== undefined) this.#giveBack(oldest);
    }
    this.#waiting.add(request);
    request.watch(() => {
      if (this.#waiting.delete(request)) this.#giveBack(request);
    });
  }

  #giveBack(request: Request): void {
    const givingBack = request.abandon().finally(() => this.#givingBack.delete(givingBack));
    this.#givingBack.add(givingBack);
  }

  #nextWaiting(): Request | undefined {
    const [request] = this.#waiting;
    if (request !== undefined) this.#waiting.delete(request);
    return request;
  }

  #emitWaiting(): void {
    while (this.listenerCount('request') > 0) {
      const request = this.#nextWaiting();
      if (request === undefined) break;
      this.emit('request', request);
    }
  }
}

const NOWHERE: CmAddress = { host: '', port: 0 };
