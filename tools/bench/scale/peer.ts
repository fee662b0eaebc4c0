/** One of the two processes of the scale benchmark: does what it is ordered, and leaves when the orchestrator is gone. */
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { DurationSample } from '../../../src/cli/bench/distribution.js';
import {
  connectBareTls,
  connectQueuepair,
  type ScaleClient,
  type ScaleConnector,
  type ScaleServer,
  serveQueuepair,
  serveTls,
} from './ends.js';
import type {
  Exchanged,
  MemoryUse,
  ScaleAnswer,
  ScaleOrder,
  ScalePeerConfig,
  TimeUse,
} from './peer-orders.js';

const SETTLE_MILLIS = 100;
/** A connection is up before it has left its session; on a busy machine hundreds may lag behind. */
const LEAVING_MILLIS = 20_000;

const config = JSON.parse(process.argv[2] ?? '') as ScalePeerConfig;
const isOurs = config.kind === 'queuepair';
const clients: ScaleClient[] = [];
let collectedMillis = 0;
let server: ScaleServer | undefined;
let connector: ScaleConnector | undefined;

new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) collectedMillis += duration;
}).observe({ entryTypes: ['gc'] });
process.on('disconnect', () => process.exit(0));
process.on('message', (order: ScaleOrder) => {
  obey(order).catch((error: unknown) => {
    answer({ type: 'failed', message: explain(error) });
  });
});
if (config.role === 'server') server = await (isOurs ? serveQueuepair : serveTls)(config);
else connector = await (isOurs ? connectQueuepair : connectBareTls)(config);
answer({ type: 'ready', port: server?.port ?? 0 });

async function obey(order: ScaleOrder): Promise<void> {
  switch (order.type) {
    case 'memory':
      answer({ type: 'memory', memory: await memory() });
      return;
    case 'time':
      answer({ type: 'time', time: time() });
      return;
    case 'open':
      await inTurn(order.count, order.together, async () => {
        const client = await connector?.open();
        if (client !== undefined) clients.push(client);
      });
      answer({ type: 'opened' });
      return;
    case 'exchange':
      answer({ type: 'exchanged', exchanged: await exchange(order.active, order.count, order.together) });
      return;
    case 'leave':
      process.exit(0);
  }
}

async function memory(): Promise<MemoryUse> {
  await allHaveLeft();
  // Finalizers run between two collections.
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await sleep(SETTLE_MILLIS);
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const open = server?.open ?? clients.length;
  return { rssBytes: rss, heapBytes: heapUsed, bufferBytes: arrayBuffers, open };
}

/** Until no connection has a session that it is about to leave, which would count as memory of one that has none. */
async function allHaveLeft(): Promise<void> {
  const deadline = performance.now() + LEAVING_MILLIS;
  for (;;) {
    const leaving = server?.leaving ?? clients.filter(({ isLeaving }) => isLeaving).length;
    if (leaving === 0) return;
    if (performance.now() > deadline)
      throw new Error(`${leaving} connections have not left their sessions within ${LEAVING_MILLIS} ms`);
    await sleep(SETTLE_MILLIS);
  }
}

function time(): TimeUse {
  const { user, system } = process.cpuUsage();
  return { cpuMicros: user + system, collectedMillis, atMicros: performance.now() * 1000 };
}

async function exchange(active: number, count: number, together: number): Promise<Exchanged> {
  const durations = new DurationSample();
  const chosen = clients.slice(0, active);
  let next = 0;
  await inTurn(count, Math.min(together, active), async () => {
    // Each connection has one round trip under way: they come in turn, and fewer are under way than there are.
    const client = chosen[next++ % active] as ScaleClient;
    const startedAt = performance.now();
    await client.roundTrip();
    durations.add(performance.now() - startedAt);
  });
  return { p50Micros: durations.medianMillis * 1000, p99Micros: durations.p99Millis * 1000 };
}

/** Does `one` `count` times, `together` at a time. */
async function inTurn(count: number, together: number, one: () => Promise<void>): Promise<void> {
  let left = count;
  const run = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: Math.min(together, count) }, run));
}

function answer(line: ScaleAnswer): void {
  process.send?.(line);
}

/** With the causes, which say why a connection ended. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${explain(error.cause)}`;
}
