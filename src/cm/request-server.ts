/**
 * A listener as programs know it: requests of clients come by an iterator, by listeners of an event, or one after the other,
 * whoever asks first. What nobody takes waits, and is given back when the server closes.
 *
 * Invariant: no more wait than the backlog, whatever clients do: who gives up waits no more, and the oldest makes room.
 */
import { EventEmitter } from 'node:events';
import type { CmAddress, CmListener } from '../verbs/connection-manager.js';

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
  readonly #takers: ((result: IteratorResult<Request, undefined>) => void)[] = [];
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
    else if (this.#isOver) void request.abandon();
    else this.#keep(request);
    this.#emitWaiting();
  }

  async #finish(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    await Promise.all(waiting.map((request) => request.abandon()));
    this.emit('close');
  }

  #take(): Promise<IteratorResult<Request, undefined>> {
    const request = this.#nextWaiting();
    if (request !== undefined) return Promise.resolve({ done: false, value: request });
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  #keep(request: Request): void {
    if (this.#waiting.size >= this.#backlog) void this.#nextWaiting()?.abandon();
    this.#waiting.add(request);
    request.watch(() => {
      if (this.#waiting.delete(request)) void request.abandon();
    });
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
