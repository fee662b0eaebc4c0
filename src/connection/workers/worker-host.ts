/**
 * The workers of a server: places connections among them by load, and puts another in the place of one that died.
 *
 * Invariants: a connection is in one worker all its life. A worker that dies ends its own connections and no others. Those
 * that die again and again are replaced later and later, so that a handler that cannot work does not take the processor.
 */
import type { Device, DeviceCensus } from '../../verbs/device.js';
import { RdmaError, thrownText } from '../../verbs/errors.js';
import { Refused } from '../lifeline/refused.js';
import type { Place, PlaceOrder, ServingHost, WorkerLoss } from '../program/serving-host.js';
import type { WorkerStatus } from '../program/worker-status.js';
import type { WorkerOrder } from './contract.js';
import { RestartPause } from './restart-pause.js';
import { NO_OBJECTS, WorkerThread } from './worker-thread.js';

/** How long a client waits for a worker when there is none at the moment. */
const PATIENCE_MILLIS = 2000;
const START_MILLIS = 30_000;
/** A worker whose event loop has not turned for so long gets no client while another one can take him. */
const STUCK_MILLIS = 2000;
/** What a worker that is stuck gets, when its server has no more time. */
const ABORT_MILLIS = 500;

export interface WorkerHostOptions {
  readonly workers: number;
  readonly order: WorkerOrder;
  readonly onLost: (loss: WorkerLoss) => void;
  /** How long a worker may take to begin. Default 30 s. */
  readonly startMillis?: number;
  /** How long a client waits for a worker. Default 2 s. */
  readonly patienceMillis?: number;
}

/** The threads that have one number, one after the other. */
interface Seat {
  readonly number: number;
  thread: WorkerThread | undefined;
  /** The first one was there: from now on a death is replaced, and told. */
  hasBegun: boolean;
  losses: number;
  /** What the devices of those that died had counted. */
  counted: Readonly<Record<string, number>>;
  readonly pause: RestartPause;
  restart: NodeJS.Timeout | undefined;
}

export class WorkerHost implements ServingHost {
  readonly #options: WorkerHostOptions;
  readonly #seats: Seat[] = [];
  /** Clients that came when no worker was ready; each looks whether there is one for it. */
  readonly #waiting = new Set<() => void>();
  /** The server is closing: those that die now are not replaced. */
  #isEnding = false;
  #isClosed = false;

  /** @throws RdmaError why one of them does not begin: its device cannot be opened, or the handler not be loaded. */
  static async start(options: WorkerHostOptions): Promise<WorkerHost> {
    const host = new WorkerHost(options);
    try {
      // One after the other: the first takes the device's usual port.
      for (const seat of host.#seats) {
        await host.#begin(seat).started();
        seat.hasBegun = true;
      }
    } catch (error) {
      await host.close();
      throw error;
    }
    return host;
  }

  private constructor(options: WorkerHostOptions) {
    this.#options = options;
    for (let number = 1; number <= options.workers; number++)
      this.#seats.push({
        number,
        thread: undefined,
        hasBegun: false,
        losses: 0,
        counted: {},
        pause: new RestartPause(),
        restart: undefined,
      });
  }

  get device(): Device {
    throw new RdmaError(
      'ERR_RDMA_INVALID_STATE',
      'every worker of this server has a device of its own: server.workers tells of them',
    );
  }

  get workers(): readonly WorkerStatus[] {
    return this.#seats.map(({ number, thread, losses, counted }) => ({
      number,
      threadId: thread?.threadId ?? null,
      device: thread?.device ?? null,
      silentMillis: thread?.silentMillis ?? 0,
      connections: thread?.connections ?? 0,
      losses,
      counters: sum([counted, thread?.counters ?? {}]),
      census: thread?.census ?? NO_OBJECTS,
    }));
  }

  census(): DeviceCensus {
    return sum(this.workers.map(({ census }) => ({ ...NO_OBJECTS, ...census }))) as unknown as DeviceCensus;
  }

  counters(): Readonly<Record<string, number>> {
    return sum(this.workers.map(({ counters }) => counters));
  }

  async place(order: PlaceOrder): Promise<Place> {
    // Those that wait already share what begins.
    const thread = this.#waiting.size === 0 ? this.#leastLoaded() : undefined;
    return thread?.place(order) ?? (await this.#nextPlace(order));
  }

  beginClosing(): void {
    this.#isEnding = true;
    this.#wake();
  }

  abort(): void {
    setTimeout(() => {
      for (const { thread } of this.#seats)
        if (thread !== undefined && thread.connections > 0) thread.terminate('it did not end in time');
    }, ABORT_MILLIS).unref();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.beginClosing();
    for (const { restart } of this.#seats) clearTimeout(restart);
    await Promise.all(this.#seats.map(({ thread }) => thread?.close()));
  }

  #begin(seat: Seat): WorkerThread {
    const { number } = seat;
    const { order, startMillis = START_MILLIS } = this.#options;
    const thread = new WorkerThread({
      number,
      order,
      startMillis,
      onLost: (error, connections) => this.#onLost(seat, error, connections),
    });
    seat.thread = thread;
    thread.started().then(
      () => this.#wake(),
      () => {},
    );
    return thread;
  }

  /** There may be no thread to be had: that must not end the server. */
  #replace(seat: Seat): void {
    try {
      this.#begin(seat);
    } catch (cause) {
      const message = `worker ${seat.number} did not begin: ${thrownText(cause)}`;
      this.#onLost(seat, new RdmaError('ERR_RDMA_NO_MEMORY', message, { cause }), 0);
    }
  }

  #onLost(seat: Seat, error: RdmaError, connections: number): void {
    const { number, thread } = seat;
    seat.thread = undefined;
    seat.counted = sum([seat.counted, thread?.counters ?? {}]);
    seat.losses++;
    if (this.#isClosed || !seat.hasBegun) return;
    const livedMillis = thread === undefined ? 0 : performance.now() - thread.startedAt;
    const restartMillis = this.#isEnding ? null : seat.pause.afterDeath(livedMillis);
    if (restartMillis !== null) seat.restart = setTimeout(() => this.#replace(seat), restartMillis).unref();
    this.#options.onLost({ worker: number, error, connections, restartMillis });
    this.#wake();
  }

  /** Of those with the fewest connections the one with the least traffic; one that is stuck only where all are. */
  #leastLoaded(): WorkerThread | undefined {
    let best: WorkerThread | undefined;
    for (const { thread } of this.#seats)
      if (thread?.isReady === true && (best === undefined || isBetter(thread, best))) best = thread;
    return best;
  }

  /** As `#leastLoaded`, but not more than the worker's part of all, as long as others are about to begin. */
  #shared(): WorkerThread | undefined {
    const best = this.#leastLoaded();
    const threads = this.#seats.flatMap(({ thread }) => thread ?? []);
    if (best === undefined || threads.every(({ isReady }) => isReady)) return best;
    const clients = threads.reduce((sum, { connections }) => sum + connections, this.#waiting.size);
    return best.connections < clients / threads.length ? best : undefined;
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }

  /** @throws Refused when none is ready in time. */
  #nextPlace(order: PlaceOrder): Promise<Place> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle();
      };
      const take = (thread: WorkerThread | undefined): boolean => {
        if (thread !== undefined) end(() => resolve(thread.place(order)));
        return thread !== undefined;
      };
      const look = (): void => {
        if (!take(this.#shared()) && this.#isEnding)
          end(() => reject(new Refused('closing', 'this server is closing')));
      };
      const timer = setTimeout(() => {
        if (!take(this.#leastLoaded())) end(() => reject(noWorker()));
      }, this.#options.patienceMillis ?? PATIENCE_MILLIS);
      this.#waiting.add(look);
      look();
    });
  }
}

const isStuck = ({ silentMillis }: WorkerThread): boolean => silentMillis >= STUCK_MILLIS;

function isBetter(thread: WorkerThread, best: WorkerThread): boolean {
  if (isStuck(thread) !== isStuck(best)) return isStuck(best);
  return (
    thread.connections < best.connections ||
    (thread.connections === best.connections && thread.traffic < best.traffic)
  );
}

const noWorker = (): Refused =>
  new Refused('worker', 'no worker of this server runs at the moment; try again later');

function sum(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all)
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  return total;
}
