/** Results in the columns and units of the stock tools: microseconds, and MB of 2^20 bytes. */
import { type Distribution, DurationSample } from '../bench/distribution.js';
import type { Timeline } from './perftest-runs.js';
import type { PerftestTraits } from './perftest-tests.js';
import type { BandwidthReport } from './perftest-wire.js';

/** Microseconds: half a round trip of messages, a whole one of READs. */
export function latencyOf({ posted }: Timeline, { isRead }: PerftestTraits): Distribution {
  const share = isRead ? 1 : 0.5;
  const sample = new DurationSample();
  for (let i = 1; i < posted.length; i++) sample.add(((posted[i] ?? 0) - (posted[i - 1] ?? 0)) * share);
  return sample.micros();
}

/** Without a peak: 0, as the stock tools have it with -N. */
export function bandwidthOf(
  { start, end }: Timeline,
  sizeBytes: number,
  iterations: number,
): BandwidthReport {
  const seconds = (end - start) / 1000;
  const average = (sizeBytes * iterations) / 2 ** 20 / seconds;
  return { sizeBytes, iterations, peak: 0, average, messageRate: iterations / seconds / 1e6 };
}

const LATENCY_HEAD =
  ' #bytes     #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]' +
  '   99% percentile[usec]   99.9% percentile[usec]';
const BANDWIDTH_HEAD = ' #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]';

export const headOf = ({ isLatency }: PerftestTraits): string => (isLatency ? LATENCY_HEAD : BANDWIDTH_HEAD);

export function latencyLine(sizeBytes: number, iterations: number, result: Distribution): string {
  const { min, max, p50, mean, deviation, p99, p999 } = result;
  const cells = [
    [min, 12],
    [max, 13],
    [p50, 12],
    [mean, 19],
    [deviation, 14],
    [p99, 20],
    [p999, 23],
  ] as const;
  const numbers = cells.map(([value, width]) => value.toFixed(2).padEnd(width)).join(' ');
  return ` ${String(sizeBytes).padEnd(10)} ${String(iterations).padEnd(13)}  ${numbers}`.trimEnd();
}

export const bandwidthLine = ({
  sizeBytes,
  iterations,
  peak,
  average,
  messageRate,
}: BandwidthReport): string =>
  ` ${String(sizeBytes).padEnd(10)} ${String(iterations).padEnd(14)} ${peak.toFixed(2).padEnd(18)} ` +
  `${average.toFixed(2).padEnd(20)} ${messageRate.toFixed(6)}`;
