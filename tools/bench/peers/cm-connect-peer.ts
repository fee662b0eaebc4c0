/**
 * Brings connections up over rdma_cm and down again, one after the other: a new endpoint at either end each time, REQ, REP, RTU,
 * DREQ and DREP on the wire, and nothing authenticated. Both sides hold a device open.
 */
import { type CmIncoming, listen } from '../../../src/cm/cm-server.js';
import { connectEndpoint } from '../../../src/cm/connect.js';
import { openEndpoint } from '../../../src/endpoint/endpoint.js';
import { openDevice } from '../../../src/open-device.js';
import type { Device } from '../../../src/verbs/device.js';
import type { PeerConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';

interface CmConnectConfig extends PeerConfig {
  readonly count: number;
  readonly warmup: number;
  readonly device: string;
}

/** As much as a connection of the session gets, so that the two do the same work. */
const MEMORY_BYTES = 64 * 1024;

await runPeer<CmConnectConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : measure(config, link),
);

async function serve(config: CmConnectConfig, link: PeerLink): Promise<void> {
  const device = await openDevice(config.device);
  const server = await listen(device);
  let left = config.count + config.warmup;
  const finished = new Promise<void>((resolve) => {
    server.on('request', (request) => {
      void serveOne(device, request).then(() => {
        if (--left === 0) resolve();
      });
    });
  });
  const { udpPort } = await device.queryPort();
  await link.exchange({ ...server.address, udpPort });
  await link.ready();
  await finished;
  await server.close();
  await device.close();
}

async function serveOne(device: Device, request: CmIncoming): Promise<void> {
  await using endpoint = await openEndpoint(device, { memory: MEMORY_BYTES });
  const connection = await request.accept({ qp: endpoint });
  await connection.ended;
}

async function measure(config: CmConnectConfig, link: PeerLink): Promise<void> {
  const device = await openDevice(config.device);
  const hello = await link.exchange({});
  await link.ready();
  const { count, warmup } = config;
  let startedAt = performance.now();
  for (let i = -warmup; i < count; i++) {
    if (i === 0) startedAt = performance.now();
    const { endpoint, connection } = await connectEndpoint(device, {
      host: String(hello['host']),
      port: Number(hello['port']),
      udpPort: Number(hello['udpPort']),
      endpoint: { memory: MEMORY_BYTES },
    });
    await connection.disconnect();
    await endpoint.close();
  }
  link.result({ value: (1000 * count) / (performance.now() - startedAt) });
  await device.close();
}
