/** Runs the points of the scale benchmark, judges its goals, and writes what came of it. */

import type { LifelineKind } from '../../../src/connection/terms/options.js';
import { openFilesLimit, tooFewDescriptors } from './open-files.js';
import type { ScalePeerConfig } from './peer-orders.js';
import {
  connectionsOf,
  MOST_ACTIVE,
  measurePoint,
  type ScalePoint,
  type ScaleSettings,
  type ScaleSubject,
  SUBJECTS,
} from './scale.js';
import { HANDLERS, measureWorkers, WORKERS, type WorkerRate } from './worker-rates.js';

export const SCALE = 'scale';
const DEFAULT_POINTS = [10, 100, 1000, 10_000];
const QUICK_POINTS = [10, 100];
/**
 * From here on points wait until silence is as it stays: connections look after their peers ever more seldom in its first minute, and V8 collects
 * garbage of what was before two or three times, up to the 62nd second where that was watched, to give memory back.
 */
const MANY = 1000;
const SETTLE_MILLIS = { few: 20_000, many: 80_000 };
/** Eight keep-alive intervals of many: about every connection has said a word. */
const IDLE_MILLIS = { few: 20_000, many: 40_000 };
/** Seconds of many: one stall must not be their 99th percentile. */
const ROUND_TRIPS = { few: 20_000, many: 200_000 };
const WARM_CONNECTIONS = 200;
const WARM_ROUND_TRIPS = 4000;
const KIB = 1024;

export interface ScaleOptions extends Pick<ScaleSettings, 'host' | 'device' | 'certificates' | 'tell'> {
  /** Of our connections; `undefined`: one kind after the other. */
  readonly lifeline: LifelineKind | undefined;
  /** Points; empty = the usual ones. */
  readonly connections: readonly number[];
  readonly haste: number;
  readonly json: boolean;
}

/** Why it cannot run with these points; `undefined` when it can. */
export function scaleMissing(options: Pick<ScaleOptions, 'connections' | 'haste'>): string | undefined {
  const most = Math.max(...pointsOf(options).map((point) => connectionsOf(point, WARM_CONNECTIONS)));
  return tooFewDescriptors(most, openFilesLimit());
}

/** Returns whether every point gave figures. */
export async function runScale(options: ScaleOptions, print: (line: string) => void): Promise<boolean> {
  const { host, device, certificates, tell, haste } = options;
  const settings = {
    ...{ host, device, certificates, tell },
    roundTrips: ROUND_TRIPS.few / haste,
    warmConnections: WARM_CONNECTIONS / haste,
    warmRoundTrips: WARM_ROUND_TRIPS / haste,
  };
  const points: ScalePoint[] = [];
  let isWhole = true;
  for (const connections of pointsOf(options)) {
    const size = connections < MANY ? 'few' : 'many';
    const own = {
      ...settings,
      roundTrips: ROUND_TRIPS[size] / haste,
      settleMillis: SETTLE_MILLIS[size] / haste,
      idleMillis: IDLE_MILLIS[size] / haste,
    };
    for (const subject of subjectsOf(options)) {
      try {
        const point = await measurePoint(subject, connections, own);
        points.push(point);
        print(options.json ? jsonPoint(point) : textPoint(point));
      } catch (error) {
        isWhole = false;
        const reason = error instanceof Error ? error.message : String(error);
        print(
          options.json
            ? JSON.stringify({ event: 'failed', name: SCALE, subject, connections, reason })
            : `  ${subject} at ${connections} FAILED: ${reason}`,
        );
      }
    }
  }
  for (const workers of WORKERS) {
    for (const handler of HANDLERS) {
      const rate = await measureWorkers(workers, handler, settings);
      print(options.json ? JSON.stringify({ name: SCALE, subject: 'workers', ...rate }) : textRate(rate));
    }
  }
  for (const { goal, met, detail } of judgeScale(points)) {
    const verdict = met ? 'met' : 'NOT met';
    print(
      options.json
        ? JSON.stringify({ event: 'goal', name: SCALE, goal, met, detail })
        : `  goal ${goal}: ${verdict} (${detail})`,
    );
  }
  return isWhole;
}

const pointsOf = ({ connections, haste }: Pick<ScaleOptions, 'connections' | 'haste'>): readonly number[] => {
  if (connections.length > 0) return connections;
  return haste > 1 ? QUICK_POINTS : DEFAULT_POINTS;
};

const subjectsOf = ({ lifeline }: ScaleOptions): readonly ScaleSubject[] =>
  (Object.keys(SUBJECTS) as ScaleSubject[]).filter((subject) => {
    const own: Pick<ScalePeerConfig, 'kind' | 'lifeline'> = SUBJECTS[subject];
    return lifeline === undefined || own.lifeline === undefined || own.lifeline === lifeline;
  });

export interface ScaleVerdict {
  readonly goal: string;
  readonly met: boolean;
  readonly detail: string;
}

const GOAL_BYTES = 16 * KIB;
const GOAL_RATE = 300;
const GOAL_IDLE_CORES = 0.02;
const GOAL_TAIL = 2;

/** Judges the largest point of each kind of our connections. */
export const judgeScale = (points: readonly ScalePoint[]): ScaleVerdict[] =>
  (['queuepair', 'queuepair-brief'] as const).flatMap((subject) => judgeLargest(points, subject));

function judgeLargest(points: readonly ScalePoint[], subject: ScaleSubject): ScaleVerdict[] {
  const ours = points.filter((point) => point.subject === subject).at(-1);
  if (ours === undefined) return [];
  const { connections, server, perServerCoreSecond, idleServerCores, p99Micros, p99AloneMicros } = ours;
  const bare = points.find((point) => point.subject === 'bare-tls' && point.connections === connections);
  const verdicts: ScaleVerdict[] = [];
  const add = (goal: string, met: boolean, detail: string): void =>
    void verdicts.push({ goal: `${goal} at ${connections}, ${subject}`, met, detail });
  const own = server.residentBytes - server.bufferBytes;
  const ofBare = bare === undefined ? '' : `, ${besideBare(own - bare.server.residentBytes)}`;
  add('server memory beside buffers ≤ 16 KiB', own <= GOAL_BYTES, `${inKib(own)} KiB${ofBare}`);
  add(
    `connections per server core second ≥ ${GOAL_RATE}`,
    perServerCoreSecond >= GOAL_RATE,
    perServerCoreSecond.toFixed(0),
  );
  add(`idle ≤ ${GOAL_IDLE_CORES} of a core`, idleServerCores <= GOAL_IDLE_CORES, idleServerCores.toFixed(4));
  const tail = p99Micros / p99AloneMicros;
  add(`p99 beside silent ones ≤ ${GOAL_TAIL} × without`, tail <= GOAL_TAIL, `${tail.toFixed(2)} ×`);
  return verdicts;
}

export function jsonPoint(point: ScalePoint): string {
  const { server, client, perSecond, idleServerCores, idleClientCores, ...rest } = point;
  const memory = ({ residentBytes, heapBytes, bufferBytes }: ScalePoint['server']) => ({
    residentKiB: Number(inKib(residentBytes)),
    heapKiB: Number(inKib(heapBytes)),
    buffersKiB: Number(inKib(bufferBytes)),
  });
  const rounded = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, typeof value === 'number' ? Math.round(value) : value]),
  );
  return JSON.stringify({
    name: SCALE,
    ...rounded,
    perSecond: Math.round(perSecond),
    server: memory(server),
    client: memory(client),
    idleServerCores: Number(idleServerCores.toFixed(4)),
    idleClientCores: Number(idleClientCores.toFixed(4)),
  });
}

const textRate = ({
  workers,
  handler,
  messagesPerSecond,
  perServerCoreSecond,
  serverCores,
}: WorkerRate): string =>
  `  ${workers} workers, ${handler}: ${messagesPerSecond} round trips a second, ${perServerCoreSecond} a second of the server's cores, ` +
  `of which it took ${serverCores}`;

function textPoint(point: ScalePoint): string {
  const { subject, connections, active, perSecond, perServerCoreSecond, server, client } = point;
  const { idleServerCores, p50Micros, p99Micros, p99AloneMicros } = point;
  return [
    `  ${subject}, ${connections} silent and ${active} active:`,
    `${perSecond.toFixed(0)} new a second (${perServerCoreSecond.toFixed(0)} a second of the server's core),`,
    `${inKib(server.residentBytes)} KiB each on the server and ${inKib(client.residentBytes)} on the client,`,
    `${idleServerCores.toFixed(4)} of a core when idle,`,
    `round trips p50 ${p50Micros.toFixed(0)} and p99 ${p99Micros.toFixed(0)} µs (p99 alone ${p99AloneMicros.toFixed(0)} µs)`,
  ].join(' ');
}

const besideBare = (bytes: number): string =>
  `${inKib(Math.abs(bytes))} KiB ${bytes < 0 ? 'less' : 'more'} than bare TLS`;

const inKib = (bytes: number): string => (bytes / KIB).toFixed(1);

export const SCALE_TITLE = `scale: silent connections, and up to ${MOST_ACTIVE} active ones beside them`;
