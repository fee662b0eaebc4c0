/**
 * One worker, from its start to its end, as the main thread knows it.
 *
 * Invariants: `onLost` is called once, whatever ended it, unless `close` did; every place that it had has learned of it by
 * then. A worker that serves does not keep the process alive: the server does; one that begins or ends does.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { DeviceCensus } from '../../verbs/device.js';
import { fromPlainError, RdmaError, thrownText } from '../../verbs/errors.js';
import { threadBeganAt } from '../common/clock.js';
import { areOperationsWatched } from '../program/operation-watch.js';
import type { PlaceOrder } from '../program/serving-host.js';
import type { WorkerDevice } from '../program/worker-status.js';
import type { FromWorker, ToWorker, WorkerBeginning, WorkerOrder } from './contract.js';
import { DistantPlace } from './distant-place.js';
import { publishOperations } from './operation-relay.js';
import { Pulse } from './pulse.js';
import { TurningTimeout } from './turning-timeout.js';

const ENTRY = new URL('./worker-main.js', import.meta.url);
/** A worker that does not end by itself within this is ended. */
const CLOSE_MILLIS = 2000;

export interface WorkerThreadOptions {
  /** From 1. */
  readonly number: number;
  readonly order: WorkerOrder;
  /** One that has not begun within this is ended. */
  readonly startMillis: number;
  /** It has ended by itself. `connections`: how many it had. */
  readonly onLost: (error: RdmaError, connections: number) => void;
}

export class WorkerThread {
  readonly startedAt = performance.now();
  readonly threadId: number;
  device: WorkerDevice | null = null;
  census: DeviceCensus = NO_OBJECTS;
  counters: Readonly<Record<string, number>> = {};
  readonly #options: WorkerThreadOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #late: TurningTimeout;
  readonly #pulse = new Pulse();
  readonly #places = new Map<number, DistantPlace>();
  readonly #started: Promise<void>;
  readonly #exited: Promise<void>;
  /** What it died of, as far as it is known. */
  #cause: unknown;
  #asksForOperations = false;
  #isClosing = false;
  #isGone = false;
  #settleStart: { resolve(): void; reject(error: unknown): void } | undefined;
  /** Packets of the device, by the last two reports. */
  #packets = 0;
  #packetsBefore = 0;

  /** @throws Error where no thread is to be had. */
  constructor(options: WorkerThreadOptions) {
    this.#options = options;
    const { number, order, startMillis } = options;
    this.#started = new Promise((resolve, reject) => {
      this.#settleStart = { resolve, reject };
    });
    // Whoever starts it waits for it or hears of its loss.
    this.#started.catch(() => {});
    const { port1: port, port2 } = new MessageChannel();
    const workerData: WorkerBeginning = { order, port: port2, pulse: this.#pulse.memory };
    this.#worker = new Worker(ENTRY, { workerData, transferList: [port2], name: `queuepair ${number}` });
    this.#port = port;
    this.threadId = this.#worker.threadId;
    port.on('message', (message: FromWorker) => this.#onMessage(message));
    // The worker keeps the process, as long as anything does.
    port.unref();
    this.#late = new TurningTimeout(startMillis, () => {
      const seconds = startMillis / 1000;
      this.terminate(
        `its module ${order.handler} was not loaded within ${seconds} s; let nothing there wait for long`,
      );
    });
    this.#worker.on('error', (error) => {
      this.#cause ??= error;
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#onExit(code);
        resolve();
      });
    });
  }

  /** It takes connections. */
  get isReady(): boolean {
    return this.device !== null && !this.#isGone && !this.#isClosing;
  }

  /** How long its event loop has not turned; less than a second of one that is well. */
  get silentMillis(): number {
    return this.isReady ? this.#pulse.silentMillis : 0;
  }

  get connections(): number {
    return this.#places.size;
  }

  /** Packets since the report before. */
  get traffic(): number {
    return this.#packets - this.#packetsBefore;
  }

  /**
   * Resolves when it takes connections.
   *
   * @throws RdmaError why it does not.
   */
  started(): Promise<void> {
    return this.#started;
  }

  place(order: PlaceOrder): DistantPlace {
    this.#askForOperations();
    const { id } = order;
    const place = new DistantPlace(
      order,
      (message) => this.#post(message),
      () => this.#places.delete(id),
    );
    this.#places.set(id, place);
    return place;
  }

  /** Ends it: its device is closed first, if it can do that in time. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#worker.ref();
    this.#post({ type: 'close' });
    const late = setTimeout(() => void this.#worker.terminate(), CLOSE_MILLIS);
    await this.#exited;
    clearTimeout(late);
  }

  /** Ends it at once; what it had is lost. */
  terminate(cause: string): void {
    this.#cause ??= new Error(cause);
    void this.#worker.terminate();
  }

  #post(message: ToWorker): void {
    if (!this.#isGone) this.#port.postMessage(message);
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.#late.stop();
        this.device = message.device;
        this.#worker.unref();
        this.#settleStart?.resolve();
        break;
      case 'failed':
        this.#cause = fromPlainError(message.error);
        // Whatever its module has begun would keep it alive.
        void this.#worker.terminate();
        break;
      case 'alive':
        for (const id of message.spoken) this.#places.get(id)?.onSpoken();
        for (const id of message.progressed) this.#places.get(id)?.onAlive(true);
        for (const id of message.heard) this.#places.get(id)?.onAlive(false);
        break;
      case 'report':
        this.#onReport(message);
        this.#askForOperations();
        break;
      case 'operations':
        publishOperations(message.batch);
        this.#askForOperations();
        break;
      case 'closed':
        void this.#worker.terminate();
        break;
      default:
        this.#places.get(message.id)?.onMessage(message);
    }
  }

  /** As soon as somebody wants to know, and no longer. */
  #askForOperations(): void {
    const on = areOperationsWatched();
    if (on === this.#asksForOperations) return;
    this.#asksForOperations = on;
    this.#post({ type: 'operations', on, beganAt: threadBeganAt });
  }

  #onReport({ census, counters, statistics }: Extract<FromWorker, { type: 'report' }>): void {
    this.census = census;
    this.counters = counters;
    this.#packetsBefore = this.#packets;
    this.#packets = (counters['rxPackets'] ?? 0) + (counters['txPackets'] ?? 0);
    for (const [id, counted] of statistics) this.#places.get(id)?.count(counted);
  }

  #onExit(code: number): void {
    this.#late.stop();
    // It said this before.
    for (let last = receiveMessageOnPort(this.#port); last !== undefined; ) {
      this.#onMessage(last.message as FromWorker);
      last = receiveMessageOnPort(this.#port);
    }
    this.#port.close();
    this.#isGone = true;
    // One that was closed had told what it had left.
    if (!this.#isClosing) this.census = NO_OBJECTS;
    const wasReady = this.device !== null;
    const error = wasReady ? this.#loss(code, '') : this.#failure(code);
    this.device = null;
    // One that never began has refused its order, and says why itself.
    this.#settleStart?.reject(!wasReady && this.#cause instanceof RdmaError ? this.#cause : error);
    const places = [...this.#places.values()];
    const loss = this.#loss(code, ', which served this connection,');
    for (const place of places) place.lose(loss);
    if (!this.#isClosing) this.#options.onLost(error, places.length);
  }

  #loss(code: number, what: string): RdmaError {
    const message = `worker ${this.#options.number}${what} has died: ${this.#why(code)}`;
    return new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { refusal: 'worker', cause: this.#cause });
  }

  /** Of one that never took connections: mostly its module is to blame. */
  #failure(code: number): RdmaError {
    const cause = this.#cause;
    const message = `worker ${this.#options.number} did not begin: ${this.#why(code)}`;
    const why = cause instanceof RdmaError ? cause.code : 'ERR_RDMA_INVALID_ARGUMENT';
    return new RdmaError(why, message, { cause });
  }

  #why(code: number): string {
    return this.#cause === undefined ? `it exited with the code ${code}` : thrownText(this.#cause);
  }
}

export const NO_OBJECTS: DeviceCensus = {
  pds: 0,
  mrs: 0,
  mws: 0,
  cqs: 0,
  channels: 0,
  qps: 0,
  srqs: 0,
  ahs: 0,
  cmIds: 0,
};
