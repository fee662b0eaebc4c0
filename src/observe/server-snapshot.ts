/**
 * What a server looks like at one moment, for the dashboard. No PSN, key or payload is in it: how far queue pairs have
 * come is told relative to where they began.
 */
import type { Connection } from '../connection/program/connection.js';
import { cleanText } from '../session/clean-text.js';
import { hostPort } from '../verbs/host-port.js';
import type { QueuePairProgress } from '../verbs/queue-pair.js';
import type { LatencySnapshot, StepTotal, WatchedServer } from './dashboard/watched-server.js';

const MAX_NAME_CHARS = 120;

export interface ConnectionSnapshot {
  readonly id: number;
  readonly peer: string;
  readonly qpn: number;
  readonly state: string;
  readonly encrypted: boolean;
  readonly progress: QueuePairProgress | null;
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly recoveries: number;
  readonly latency: LatencySnapshot | null;
  /** What its queue pair counts; empty where the device counts for all alone. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface ServerSnapshot {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly address: string;
  readonly device: string;
  readonly slots: { readonly used: number; readonly total: number };
  readonly draining: boolean;
  /** Whether whoever knows the token may do something. */
  readonly canControl: boolean;
  readonly steps: Readonly<Record<string, StepTotal>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly objects: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
  readonly connections: readonly ConnectionSnapshot[];
}

export async function snapshotOf(watched: WatchedServer, canControl: boolean): Promise<ServerSnapshot> {
  const { server } = watched;
  const connections = await Promise.all(
    [...server.connections].map((connection) => connectionSnapshot(connection, watched)),
  );
  const { host, port } = server.address;
  return {
    at: Date.now(),
    address: hostPort(host, port),
    device: deviceNames(server),
    slots: { used: server.slots.used, total: server.slots.total },
    draining: server.isDraining,
    canControl,
    steps: watched.steps,
    refusals: watched.refusals,
    objects: { ...server.census() },
    counters: aboveZero(server.counters()),
    connections: connections.filter((connection) => connection !== undefined),
  };
}

/** `undefined` for one that has no queue pair: it is recovering, or just going. */
async function connectionSnapshot(
  connection: Connection,
  watched: WatchedServer,
): Promise<ConnectionSnapshot | undefined> {
  const [progress, counters] = await Promise.all([connection.queryProgress(), connection.queryCounters()]);
  const { queuePair } = connection;
  if (queuePair === null) return undefined;
  const { messagesReceived, messagesSent, bytesReceived, bytesSent, recoveries } = connection.statistics;
  return {
    id: connection.id,
    peer: cleanText(connection.peer?.subject ?? connection.remoteAddress, MAX_NAME_CHARS),
    ...queuePair,
    encrypted: connection.isEncrypted,
    progress,
    messagesIn: messagesReceived,
    messagesOut: messagesSent,
    bytesIn: bytesReceived,
    bytesOut: bytesSent,
    recoveries,
    latency: watched.takeLatency(connection.id),
    counters: aboveZero(counters),
  };
}

/** Each worker has its own. */
const deviceNames = (server: WatchedServer['server']): string =>
  server.workers.length === 0
    ? server.device.name
    : server.workers.map(({ device }) => device?.name ?? 'none').join(', ');

const aboveZero = (counters: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counters).filter(([, count]) => count > 0));
