/**
 * What a server looks like at one moment, for the dashboard. No PSN, key or payload is in it: how far queue pairs have
 * come is told relative to where they began.
 */
import type { Connection } from '../connection/connection.js';
import type { Server } from '../connection/server.js';
import { cleanText } from '../session/clean-text.js';
import { hostPort } from '../verbs/host-port.js';
import type { QueuePairProgress } from '../verbs/queue-pair.js';

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
}

export interface ServerSnapshot {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly address: string;
  readonly device: string;
  readonly slots: { readonly used: number; readonly total: number };
  readonly objects: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
  readonly connections: readonly ConnectionSnapshot[];
}

export async function snapshotOf(server: Server): Promise<ServerSnapshot> {
  const connections = await Promise.all([...server.connections].map(connectionSnapshot));
  const { host, port } = server.address;
  return {
    at: Date.now(),
    address: hostPort(host, port),
    device: server.device.name,
    slots: { used: server.slots.used, total: server.slots.total },
    objects: { ...server.census() },
    counters: Object.fromEntries(Object.entries(server.device.counters()).filter(([, count]) => count > 0)),
    connections: connections.filter((connection) => connection !== undefined),
  };
}

/** `undefined` for one that has no queue pair: it is recovering, or just going. */
async function connectionSnapshot(connection: Connection): Promise<ConnectionSnapshot | undefined> {
  const progress = await connection.queryProgress();
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
  };
}
