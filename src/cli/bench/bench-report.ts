/** What a measurement says, for people in perftest's manner: a head and a line for each. */
import { formatBytes } from '../format.js';
import { type BenchPlan, isLatency } from './bench-plan.js';
import type { Distribution } from './distribution.js';
import type { Measured } from './workloads.js';

export interface LatencyResult extends Distribution {
  readonly unit: 'us';
}

export interface BandwidthResult {
  readonly seconds: number;
  readonly megabytesPerSecond: number;
  readonly gigabitsPerSecond: number;
  readonly messagesPerSecond: number;
}

export interface BenchResult {
  readonly test: string;
  readonly size: number;
  /** Operations that count. */
  readonly count: number;
  readonly depth: number;
  readonly latency: LatencyResult | null;
  readonly bandwidth: BandwidthResult | null;
}

export function resultOf(plan: BenchPlan, count: number, { durations, seconds }: Measured): BenchResult {
  const { test, size, depth } = plan;
  const common = { test, size, count, depth };
  if (isLatency(test)) {
    return { ...common, latency: { unit: 'us', ...durations.micros() }, bandwidth: null };
  }
  const bytes = size * count;
  const bandwidth = {
    seconds,
    megabytesPerSecond: bytes / seconds / 1e6,
    gigabitsPerSecond: (8 * bytes) / seconds / 1e9,
    messagesPerSecond: count / seconds,
  };
  return { ...common, latency: null, bandwidth };
}

const TEST_CHARS = 10;
const CELL_CHARS = 11;
const cells = (values: readonly string[]): string =>
  values.map((value) => value.padStart(CELL_CHARS)).join('');

export function headOf(hasLatency: boolean): string {
  const common = ['size', 'count'];
  const own = hasLatency
    ? ['min[us]', 'p50[us]', 'p90[us]', 'p99[us]', 'p99.9[us]', 'max[us]', 'mean[us]', 'stdev[us]']
    : ['depth', 'time[s]', 'MB/s', 'Gbit/s', 'msg/s'];
  return 'test'.padEnd(TEST_CHARS) + cells([...common, ...own]);
}

export function lineOf({ test, size, count, depth, latency, bandwidth }: BenchResult): string {
  const common = [formatBytes(size), String(count)];
  if (latency !== null) {
    const { min, p50, p90, p99, p999, max, mean, deviation } = latency;
    const values = [min, p50, p90, p99, p999, max, mean, deviation].map((value) => value.toFixed(1));
    return test.padEnd(TEST_CHARS) + cells([...common, ...values]);
  }
  if (bandwidth === null) return test;
  const { seconds, megabytesPerSecond, gigabitsPerSecond, messagesPerSecond } = bandwidth;
  return (
    test.padEnd(TEST_CHARS) +
    cells([
      ...common,
      String(depth),
      seconds.toFixed(2),
      megabytesPerSecond.toFixed(1),
      gigabitsPerSecond.toFixed(2),
      messagesPerSecond.toFixed(0),
    ])
  );
}
