/**
 * How long operations take, in histograms of node:perf_hooks. An operation ends when the peer's device has acknowledged it, for
 * reads when the bytes are here. While one of these exists, every operation of the process costs two readings of the clock
 * and an object.
 */
import { createHistogram, type Histogram, type RecordableHistogram } from 'node:perf_hooks';
import type { OperationKind, OperationNote } from '../connection/program/operation-watch.js';
import { callback, checkOptions } from '../verbs/option-check.js';
import { watch } from './watching.js';

const NANOS_PER_MILLI = 1e6;

/** In nanoseconds. Operations that failed are in none. */
export interface LatencyHistograms extends Readonly<Record<OperationKind, Histogram>> {
  /** Begins anew. */
  reset(): void;
  /** Records nothing more. */
  stop(): void;
}

export interface LatencyOptions {
  /** Which operations count. Default: all of this process. */
  readonly filter?: (operation: OperationNote) => boolean;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an option that does not exist, or is not what it must be. */
export function latencyHistograms(options: LatencyOptions = {}): LatencyHistograms {
  checkOptions('latencyHistograms', options, { filter: callback });
  const { filter = () => true }: LatencyOptions = options;
  const histograms: Record<OperationKind, RecordableHistogram> = {
    send: createHistogram(),
    read: createHistogram(),
    write: createHistogram(),
  };
  const stop = watch('queuepair:operation', (operation) => {
    if (operation.error === null && filter(operation)) record(histograms[operation.kind], operation);
  });
  return {
    ...histograms,
    reset() {
      for (const histogram of Object.values(histograms)) histogram.reset();
    },
    stop,
  };
}

/** A histogram takes nothing below 1. */
export function record(histogram: RecordableHistogram, { durationMillis }: OperationNote): void {
  histogram.record(Math.max(1, Math.round(durationMillis * NANOS_PER_MILLI)));
}
