/**
 * How connections scale: what each costs in memory, how fast new ones come, what they take while they are silent, and
 * whether those that are silent hold up those that work. Two processes, one connection of each to the other for every one
 * that is counted; bare TLS beside it says what of all that is the handshake's and the socket's.
 *
 * A point of N connections: the active ones come first and exchange messages alone; then N come that stay silent; then both
 * processes are left alone until V8 has tidied up, and for a while that is measured; then the active ones exchange messages again,
 * beside the silent ones. Both times they have exchanged some before that counts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryUse, ScalePeerConfig, TimeUse } from './peer-orders.js';
import { ScaleProcess } from './scale-process.js';

/** What both processes of a point hold. */
export const SUBJECTS = {
  queuepair: { kind: 'queuepair', lifeline: 'session' },
  'queuepair-brief': { kind: 'queuepair', lifeline: 'brief' },
  'bare-tls': { kind: 'bare-tls' },
} as const satisfies Readonly<Record<string, Pick<ScalePeerConfig, 'kind' | 'lifeline'>>>;

export type ScaleSubject = keyof typeof SUBJECTS;

export interface ScalePoint {
  readonly subject: ScaleSubject;
  /** Silent ones; the active ones are more. */
  readonly connections: number;
  readonly active: number;
  /** By the clock, and by the processor time of the server. */
  readonly perSecond: number;
  readonly perServerCoreSecond: number;
  readonly perClientCoreSecond: number;
  /** Bytes of one connection: all that the process has more, and what of it is JavaScript's objects and buffers. */
  readonly server: PerConnection;
  readonly client: PerConnection;
  /** Of a core, while nobody does anything. */
  readonly idleServerCores: number;
  readonly idleClientCores: number;
  /** How long V8 collected garbage on the server's main thread meanwhile. */
  readonly idleServerCollectedMillis: number;
  /** Of a round trip of the active ones; `alone`: without the silent ones. */
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p50AloneMicros: number;
  readonly p99AloneMicros: number;
}

export interface PerConnection {
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly bufferBytes: number;
}

export interface ScaleSettings {
  readonly host: string;
  readonly device: string;
  readonly certificates: string;
  /** Round trips of the active ones, each time. */
  readonly roundTrips: number;
  /** Nobody does anything: how long before that counts, and how long it counts. */
  readonly settleMillis: number;
  readonly idleMillis: number;
  /** For compilers and caches to warm up, before anything counts. */
  readonly warmConnections: number;
  readonly warmRoundTrips: number;
  readonly tell: (progress: string) => void;
}

/** Of one point; more would make the figures those of a queue. */
export const MOST_ACTIVE = 1000;
/** Handshakes, and round trips, under way at a time. */
const TOGETHER = 16;
const PIECE = 500;

/** Connections that a point needs in all. */
export const connectionsOf = (connections: number, warmConnections: number): number =>
  connections + activeOf(connections) + warmConnections;

const activeOf = (connections: number): number => Math.min(connections, MOST_ACTIVE);

export async function measurePoint(
  subject: ScaleSubject,
  connections: number,
  settings: ScaleSettings,
): Promise<ScalePoint> {
  const { host, device, certificates, warmConnections } = settings;
  const most = connectionsOf(connections, warmConnections);
  return ScaleProcess.withBoth({ ...SUBJECTS[subject], host, device, certificates, most }, (server, client) =>
    measure(server, client, subject, connections, settings),
  );
}

async function measure(
  server: ScaleProcess,
  client: ScaleProcess,
  subject: ScaleSubject,
  connections: number,
  { roundTrips, settleMillis, idleMillis, warmConnections, warmRoundTrips, tell }: ScaleSettings,
): Promise<ScalePoint> {
  const active = activeOf(connections);
  const memory = () => Promise.all([server.memory(), client.memory()]);
  const time = () => Promise.all([server.time(), client.time()]);
  const name = `scale: ${subject}, ${connections} connections`;
  tell(`${name}: ${active} active ones alone`);
  await client.open(warmConnections + active, TOGETHER);
  await client.exchange(active, warmRoundTrips, TOGETHER);
  const alone = await client.exchange(active, roundTrips, TOGETHER);
  const lean = await memory();
  const began = await time();
  for (let left = connections; left > 0; left -= PIECE) {
    await client.open(Math.min(left, PIECE), TOGETHER);
    tell(`${name}: ${connections - Math.max(0, left - PIECE)} silent ones are open`);
  }
  const ended = await time();
  const full = await memory();
  tell(`${name}: nobody does anything for ${settleMillis + idleMillis} ms`);
  await sleep(settleMillis);
  const fellSilent = await time();
  await sleep(idleMillis);
  const rested = await time();
  await client.exchange(active, warmRoundTrips, TOGETHER);
  const beside = await client.exchange(active, roundTrips, TOGETHER);
  const cpu = (side: 0 | 1) => (ended[side].cpuMicros - began[side].cpuMicros) / 1e6;
  return {
    subject,
    connections,
    active,
    perSecond: connections / ((ended[1].atMicros - began[1].atMicros) / 1e6),
    perServerCoreSecond: connections / cpu(0),
    perClientCoreSecond: connections / cpu(1),
    server: perConnection(lean[0], full[0], connections),
    client: perConnection(lean[1], full[1], connections),
    idleServerCores: cores(fellSilent[0], rested[0]),
    idleClientCores: cores(fellSilent[1], rested[1]),
    idleServerCollectedMillis: rested[0].collectedMillis - fellSilent[0].collectedMillis,
    p50Micros: beside.p50Micros,
    p99Micros: beside.p99Micros,
    p50AloneMicros: alone.p50Micros,
    p99AloneMicros: alone.p99Micros,
  };
}

const cores = (from: TimeUse, to: TimeUse): number =>
  (to.cpuMicros - from.cpuMicros) / (to.atMicros - from.atMicros);

const perConnection = (lean: MemoryUse, full: MemoryUse, connections: number): PerConnection => ({
  residentBytes: (full.rssBytes - lean.rssBytes) / connections,
  heapBytes: (full.heapBytes - lean.heapBytes) / connections,
  bufferBytes: (full.bufferBytes - lean.bufferBytes) / connections,
});
