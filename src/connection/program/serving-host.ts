/**
 * Where the connections of a server have their data planes and handlers: in the thread of the server, or in workers
 * (workers/worker-host.ts). Sessions, admission and recovery are the server's in both.
 */
import type { Device, DeviceCensus } from '../../verbs/device.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { StepReporter } from '../common/steps.js';
import { DataPath } from '../data-path/data-path.js';
import type { DataPlane } from '../data-path/data-plane.js';
import type { Lifeline } from '../lifeline/lifeline.js';
import type { DataPathLimits } from '../terms/options.js';
import { Connection, type ConnectionOwner } from './connection.js';
import { type ConnectionHandler, type OnMistake, serveBy } from './handler.js';
import type { WorkerStatus } from './worker-status.js';

/** What a client that was admitted gets. */
export interface PlaceOrder {
  /** Number of the connection. */
  readonly id: number;
  readonly limits: DataPathLimits;
  readonly reporter: StepReporter;
}

/** The place of one connection. It is free again when the data plane is destroyed. */
export interface Place {
  readonly plane: DataPlane;
  /** The lifeline that has the plane: it ends if the place is lost. */
  bind(lifeline: Lifeline): void;
  /** The lifeline is up. */
  connection(lifeline: Lifeline, owner: ConnectionOwner): Connection;
  /** Has the handler serve the connection, which ends as the handler does. */
  serve(connection: Connection, onMistake: OnMistake): void;
}

export interface ServingHost {
  /** @throws RdmaError ERR_RDMA_INVALID_STATE where every worker has one of its own. */
  readonly device: Device;
  /** None where connections are in the thread of the server. */
  readonly workers: readonly WorkerStatus[];
  census(): DeviceCensus;
  counters(): Readonly<Record<string, number>>;
  /** @throws RdmaError where no place is to be had. */
  place(order: PlaceOrder): Promise<Place>;
  /** The server is closing: no client comes any more, and what dies is not replaced. */
  beginClosing(): void;
  /** Handlers and planes that have not ended by now are not waited for. */
  abort(): void;
  /** All places are free. */
  close(): Promise<void>;
}

export interface LocalHostOptions {
  readonly device: Device;
  readonly ownsDevice: boolean;
  readonly handler: ConnectionHandler;
  readonly revealPsns: boolean;
}

export class LocalHost implements ServingHost {
  readonly workers = [];
  readonly #options: LocalHostOptions;

  constructor(options: LocalHostOptions) {
    this.#options = options;
  }

  get device(): Device {
    return this.#options.device;
  }

  census(): DeviceCensus {
    return this.device.census();
  }

  counters(): Readonly<Record<string, number>> {
    return this.device.counters();
  }

  async place({ id, limits, reporter }: PlaceOrder): Promise<Place> {
    const { device, handler, revealPsns } = this.#options;
    const dataPath = new DataPath(device, limits, reporter, revealPsns);
    return {
      plane: dataPath,
      bind() {},
      connection: (lifeline, owner) => new Connection(id, lifeline, dataPath, limits, owner),
      serve: (connection, onMistake) => serveBy(handler, connection, onMistake),
    };
  }

  beginClosing(): void {}

  /** What is in this thread is ended by its lifelines. */
  abort(): void {}

  async close(): Promise<void> {
    if (this.#options.ownsDevice) await this.device.close();
  }
}

/** Why a worker, and what it served, has ended. */
export interface WorkerLoss {
  /** Number of the worker, from 1. */
  readonly worker: number;
  readonly error: RdmaError;
  /** Connections that ended with it. */
  readonly connections: number;
  /** Until another begins in its place; `null` when none will, because the server is closing. */
  readonly restartMillis: number | null;
}
