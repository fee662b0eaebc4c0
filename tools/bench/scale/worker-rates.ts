/**
 * What workers bring: round trips a second of one client process with a server that has none, one or two, with a handler that only
 * sends messages back, and with one that has something to do for each. The client takes a core of its own.
 */
import type { ServedBy } from './peer-orders.js';
import type { ScaleSettings } from './scale.js';
import { ScaleProcess } from './scale-process.js';

export interface WorkerRate {
  readonly workers: number;
  readonly handler: ServedBy;
  readonly messagesPerSecond: number;
  readonly perServerCoreSecond: number;
  /** Of the server, all its threads. */
  readonly serverCores: number;
}

export const WORKERS = [0, 1, 2];
export const HANDLERS: readonly ServedBy[] = ['echo', 'work'];
const CONNECTIONS = 32;
const TOGETHER = 32;

export async function measureWorkers(
  workers: number,
  handler: ServedBy,
  settings: Pick<
    ScaleSettings,
    'host' | 'device' | 'certificates' | 'roundTrips' | 'warmRoundTrips' | 'tell'
  >,
): Promise<WorkerRate> {
  const { host, device, certificates, roundTrips, warmRoundTrips, tell } = settings;
  tell(`scale: ${workers} workers, ${handler}`);
  const common = {
    kind: 'queuepair',
    host,
    device,
    certificates,
    most: CONNECTIONS,
    workers,
    handler,
  } as const;
  return ScaleProcess.withBoth(common, async (server, client) => {
    await client.open(CONNECTIONS, TOGETHER);
    await client.exchange(CONNECTIONS, warmRoundTrips, TOGETHER);
    const began = await server.time();
    await client.exchange(CONNECTIONS, roundTrips, TOGETHER);
    const ended = await server.time();
    const seconds = (ended.atMicros - began.atMicros) / 1e6;
    const coreSeconds = (ended.cpuMicros - began.cpuMicros) / 1e6;
    return {
      workers,
      handler,
      messagesPerSecond: Math.round(roundTrips / seconds),
      perServerCoreSecond: Math.round(roundTrips / coreSeconds),
      serverCores: Number((coreSeconds / seconds).toFixed(2)),
    };
  });
}
