/** The measurements, and what distinguishes the exchanges of each stock tool. */

export const PERFTEST_NAMES = ['send-lat', 'send-bw', 'write-bw', 'read-lat'] as const;
export type PerftestName = (typeof PERFTEST_NAMES)[number];

export interface PerftestTraits {
  readonly stockTool: string;
  /** Times of single operations, rather than bytes in all. */
  readonly isLatency: boolean;
  /** Messages are taken by receives, so that the server takes part; else it lends its memory and waits. */
  readonly isTwoSided: boolean;
  readonly isRead: boolean;
  readonly sizeBytes: number;
  readonly iterations: number;
  readonly sendDepth: number;
  /** How often the ends exchange their records before they connect, and after it before the measurement. */
  readonly recordsBefore: number;
  readonly recordsAfter: number;
}

const LATENCY = { isLatency: true, sizeBytes: 2, iterations: 1000, sendDepth: 1 } as const;
const BANDWIDTH = { isLatency: false, sizeBytes: 65_536, sendDepth: 128 } as const;
const TWO_SIDED = { isTwoSided: true, isRead: false, recordsBefore: 1, recordsAfter: 3 } as const;
const ONE_SIDED = { isTwoSided: false, recordsAfter: 2 } as const;

export const PERFTEST_TRAITS: Readonly<Record<PerftestName, PerftestTraits>> = {
  'send-lat': { stockTool: 'ib_send_lat', ...LATENCY, ...TWO_SIDED },
  'send-bw': { stockTool: 'ib_send_bw', ...BANDWIDTH, ...TWO_SIDED, iterations: 1000 },
  'write-bw': {
    stockTool: 'ib_write_bw',
    ...BANDWIDTH,
    ...ONE_SIDED,
    isRead: false,
    iterations: 5000,
    recordsBefore: 1,
  },
  'read-lat': { stockTool: 'ib_read_lat', ...LATENCY, ...ONE_SIDED, isRead: true, recordsBefore: 2 },
};
