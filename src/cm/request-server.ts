/**
 * A listener as programs know it: requests of clients come by an iterator, by listeners of an event, or one after the other,
 * whoever asks first. What nobody takes waits, and is given back when the server closes.
 */
import { EventEmitter } from 'node:events';
import type { CmAddress, CmListener } from '../verbs/connection-manager.js';

/** A request that can be taken back by its client, or given back by the server. */
export interface Waiting {
  /** The client does not wait any more. */
  readonly isGone: boolean;
  /** Nobody takes it. */
  abandon(): Promise<void>;
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
  readonly #waiting: Request[] = [];
  readonly #takers: ((result: IteratorResult<Request, undefined>) => void)[] = [];
  #isOver = false;

  constructor() {
    super();
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

  /** The next request, or `undefined` when there are no more. */
  async next(): Promise<Request | undefined> {
    return (await this.#take()).value;
  }

  /** Leaving the loop leaves the server open. */
  [Symbol.asyncIterator](): AsyncIterator<Request, undefined> {
    return {
      next: () => this.#take(),
      return: async () => ({ done: true, value: undefined }),
    };
  }

  /** Takes no more requests and gives those back that nobody took. Connections stay. Idempotent. */
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
    const taker = this.#takers.shift();
    if (taker !== undefined) taker({ done: false, value: request });
    else if (!this.#isOver) this.#waiting.push(request);
    else void request.abandon();
    this.#emitWaiting();
  }

  async #finish(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
    await Promise.all(this.#waiting.splice(0).map((request) => request.abandon()));
    this.emit('close');
  }

  #take(): Promise<IteratorResult<Request, undefined>> {
    const request = this.#nextWaiting();
    if (request !== undefined) return Promise.resolve({ done: false, value: request });
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  #nextWaiting(): Request | undefined {
    for (;;) {
      const request = this.#waiting.shift();
      if (request?.isGone !== true) return request;
      void request.abandon();
    }
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
