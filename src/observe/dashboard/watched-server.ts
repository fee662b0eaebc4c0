/**
 * What a dashboard hears of one server: how often each step was done and how long it took, and latencies while somebody looks.
 *
 * Invariant: operations are timed only between `beginTiming` and `endTiming`.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { StepNote } from '../../connection/program/diagnostics.js';
import type { OperationNote } from '../../connection/program/operation-watch.js';
import { watchServer } from '../../connection/program/server-watch.js';
import type { Server } from '../../connection/server/server.js';
import { hostPort } from '../../verbs/host-port.js';
import { record } from '../latency-histograms.js';
import { watch } from '../watching.js';

const NANOS_PER_MICRO = 1000;

export interface StepTotal {
  readonly count: number;
  /** All of them together, each from the step before it. */
  readonly millis: number;
}

/** In microseconds, of the operations since the last snapshot. */
export interface LatencySnapshot {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

export class WatchedServer {
  readonly server: Server;
  readonly #name: string;
  readonly #steps = new Map<string, { count: number; millis: number }>();
  /** When the last step of a connection was done. */
  readonly #lastAt = new Map<number, number>();
  readonly #refusals = new Map<string, number>();
  readonly #latencies = new Map<number, RecordableHistogram>();
  readonly #stopSteps: () => void;
  readonly #stopWatching: () => void;
  #stopTiming: (() => void) | undefined;

  constructor(server: Server) {
    const { host, port } = server.address;
    this.server = server;
    this.#name = hostPort(host, port);
    this.#stopSteps = watch('queuepair:step', (note) => this.#onStep(note));
    this.#stopWatching = watchServer(server, {
      onRefused: ({ kind }) => void this.#refusals.set(kind, (this.#refusals.get(kind) ?? 0) + 1),
      onDisconnection: ({ id }) => void this.#latencies.delete(id),
    });
  }

  get steps(): Readonly<Record<string, StepTotal>> {
    return Object.fromEntries(this.#steps);
  }

  get refusals(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#refusals);
  }

  beginTiming(): void {
    this.#stopTiming ??= watch('queuepair:operation', (note) => this.#onOperation(note));
  }

  endTiming(): void {
    this.#stopTiming?.();
    this.#stopTiming = undefined;
    this.#latencies.clear();
  }

  /** Of one connection since the last call; `null` where there was nothing. */
  takeLatency(connection: number): LatencySnapshot | null {
    const histogram = this.#latencies.get(connection);
    if (histogram === undefined || histogram.count === 0) return null;
    const at = (percent: number): number => Math.round(histogram.percentile(percent) / NANOS_PER_MICRO);
    const snapshot = { count: histogram.count, p50: at(50), p90: at(90), p99: at(99) };
    histogram.reset();
    return snapshot;
  }

  close(): void {
    this.#stopSteps();
    this.#stopWatching();
    this.endTiming();
  }

  #onStep({ side, server, connection, step, atMillis }: StepNote): void {
    if (side !== 'server' || server !== this.#name) return;
    const total = this.#steps.get(step) ?? { count: 0, millis: 0 };
    total.count++;
    total.millis += atMillis - (this.#lastAt.get(connection) ?? 0);
    this.#steps.set(step, total);
    if (step === 'slot-freed') this.#lastAt.delete(connection);
    else this.#lastAt.set(connection, atMillis);
  }

  #onOperation(note: OperationNote): void {
    const { side, server, connection, error } = note;
    if (side !== 'server' || server !== this.#name || error !== null) return;
    let histogram = this.#latencies.get(connection);
    if (histogram === undefined) {
      histogram = createHistogram();
      this.#latencies.set(connection, histogram);
    }
    record(histogram, note);
  }
}
