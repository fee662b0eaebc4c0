/** A process of a chaos run: the server, or one client. Its parent tells it to fail, and kills or stops it. */

import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { connect } from '../../src/connection/client/client.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { listen, type Server } from '../../src/connection/server/server.js';
import { FragileDevice } from '../../testkit/fragile-device.js';
import type { Incarnation, Order, Progress, Report, Setup } from './protocol.js';
import { StreamTraffic } from './stream-traffic.js';
import { Traffic } from './traffic.js';

const RECOVERY = { recoveryMillis: 15_000, keepAliveMillis: 250 } as const;
/** Small, so that flow control is part of every run. */
const DATA_PATH = {
  receiveSlots: 16,
  slotBytes: 8192,
  bufferBytes: 64 * 1024,
  streams: { open: 3, windowBytes: 50_000 },
} as const;
const MEMORY_SAMPLES = 10;
const MEMORY_SAMPLE_MILLIS = 300;
const RETRY_MILLIS = 20;
const SLOTS = 32;

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const fragile = await FragileDevice.open(setup.device, setup.seed);
const traffics = new Set<Traffic>();
let finishing = false;

const tell = (report: Report): void => void process.send?.(report);

process.on('message', (order: Order) => void obey(order));
// A parent that is gone would leave this process running for ever.
process.on('disconnect', () => process.exit(1));

async function obey(order: Order): Promise<void> {
  if (order.order === 'dark') fragile.isDark = order.isDark;
  else if (order.order === 'loss') fragile.loss = order.loss;
  else if (order.order === 'fail-queue-pairs') await fragile.failQueuePairs();
  else if (order.order === 'measure') await measure(order.clients);
  else await finish();
}

/**
 * What still waits for a client that was killed would weigh more than what could have leaked. So would messages under
 * way, and buffers that the collector has found but not freed yet: the least of several samples has the fewest of them.
 */
async function measure(clients: number): Promise<void> {
  const deadline = performance.now() + 2 * RECOVERY.recoveryMillis;
  while (server !== undefined && server.slots.used > clients && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
  }
  let least = heapBytes();
  for (let i = 1; i < MEMORY_SAMPLES; i++) {
    await new Promise((resolve) => setTimeout(resolve, MEMORY_SAMPLE_MILLIS));
    least = Math.min(least, heapBytes());
  }
  tell({ event: 'memory', heapBytes: least });
}

function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function runTraffic(
  connection: Connection,
  streams: StreamTraffic,
  incarnation: Incarnation,
): Promise<void> {
  const report = (progress: Progress): void => tell({ event: 'progress', progress });
  const traffic = new Traffic(connection, streams, incarnation, report);
  traffics.add(traffic);
  if (finishing) traffic.finish();
  await traffic.run();
  traffics.delete(traffic);
}

let server: Server | undefined;
const clientDone = setup.role === 'client' ? runClient() : Promise.resolve();
if (setup.role === 'server') await runServer();

async function runServer(): Promise<void> {
  const { server: own, caPem } = await loadOrCreateDevCertificates(setup.certificates);
  server = await listen(
    {
      port: setup.port,
      cert: own.certPem,
      key: own.keyPem,
      clientCa: caPem,
      device: fragile.device,
      slots: SLOTS,
      ...RECOVERY,
      ...DATA_PATH,
    },
    async (connection) => {
      const streams = new StreamTraffic(connection);
      const hello = await connection.receive();
      if (hello === undefined) return;
      await runTraffic(connection, streams, JSON.parse(Buffer.from(hello.data).toString()) as Incarnation);
    },
  );
  tell({ event: 'ready', port: server.address.port });
}

async function runClient(): Promise<void> {
  const { client: own, caPem } = await loadOrCreateDevCertificates(setup.certificates);
  tell({ event: 'ready', port: 0 });
  for (let number = setup.incarnation; !finishing; number++) {
    const connection = await connectPatiently(caPem, own);
    if (connection === undefined) return;
    const streams = new StreamTraffic(connection);
    const incarnation = { client: setup.client, number };
    try {
      await connection.send(JSON.stringify(incarnation));
      await runTraffic(connection, streams, incarnation);
    } catch {
      // The connection was lost before it had any traffic: the next one begins.
    }
    await connection.closed;
  }
}

async function connectPatiently(
  ca: string,
  own: { readonly certPem: string; readonly keyPem: string },
): Promise<Connection | undefined> {
  while (!finishing) {
    try {
      const { device } = fragile;
      const identity = { ca, cert: own.certPem, key: own.keyPem };
      return await connect({ port: setup.port, ...identity, device, ...RECOVERY, ...DATA_PATH });
    } catch {
      // Servers are killed here, and sessions cut: until one is there.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
    }
  }
  return undefined;
}

/** Clients end their connections; a server ends when its parent says so, after them. */
async function finish(): Promise<void> {
  finishing = true;
  fragile.isDark = false;
  fragile.loss = 0;
  for (const traffic of traffics) traffic.finish();
  await clientDone;
  await server?.close();
  const leaked = server?.census() ?? { ...fragile.device.census() };
  await fragile.device.close().catch(() => undefined);
  tell({ event: 'done', leaked });
  process.disconnect();
}
