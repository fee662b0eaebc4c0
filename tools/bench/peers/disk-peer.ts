/**
 * Reads blocks of a disk in the other process's memory, so many at a time: over NVMe, our host on our target, or over a plain block server
 * on node:net, whose requests are an offset and a length. The program gets its blocks in a buffer of its own either way.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { memoryBackend } from '../../../src/nvme/backends/memory-backend.js';
import { connectNvme } from '../../../src/nvme/host/nvme-host.js';
import { serveNvme } from '../../../src/nvme/target/nvme-target.js';
import { openDevice } from '../../../src/open-device.js';
import type { DiskConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';
import { FlowRecorder } from './recorders.js';

const DISK_BYTES = 64 << 20;
const NQN = 'nqn.2026-01.queuepair:bench';
const REQUEST_BYTES = 16;
/** More than `depth` requests wait nowhere. */
const MAX_DEPTH = 128;

type ReadBlock = (offset: number, into: Uint8Array) => Promise<void>;

await runPeer<DiskConfig>((config, link) => {
  if (config.over === 'nvme')
    return config.role === 'server' ? serveDisk(config, link) : useDisk(config, link);
  return config.role === 'server' ? serveSocket(config, link) : useSocket(config, link);
});

async function serveDisk({ device: name }: DiskConfig, link: PeerLink): Promise<void> {
  const device = await openDevice(name);
  const subsystems = { [NQN]: { namespaces: [memoryBackend(DISK_BYTES)] } };
  const target = await serveNvme({ device, port: 0, subsystems });
  const { udpPort } = await device.queryPort();
  const left = once(target, 'disconnect');
  await link.exchange({ port: target.address.port, udpPort });
  await link.ready();
  await left;
  await target.close();
  await device.close();
}

async function useDisk(config: DiskConfig, link: PeerLink): Promise<void> {
  const device = await openDevice(config.device);
  const hello = await link.exchange({});
  const controller = await connectNvme({
    ...{
      device,
      host: config.host,
      port: Number(hello['port']),
      udpPort: Number(hello['udpPort']),
      nqn: NQN,
    },
    queueEntries: MAX_DEPTH,
    chunkBytes: Math.max(config.bytes, 4096),
  });
  const disk = controller.namespace(1);
  await link.ready();
  await measure(config, link, (offset, into) => disk.read(offset, into));
  await controller.close();
  await device.close();
}

async function serveSocket({ host }: DiskConfig, link: PeerLink): Promise<void> {
  const disk = new Uint8Array(DISK_BYTES);
  const server = createServer((socket) => answer(socket, disk)).listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const [[socket]] = await Promise.all([
    once(server, 'connection') as Promise<[Socket]>,
    link.exchange({ port }).then(() => link.ready()),
  ]);
  await once(socket, 'close');
  server.close();
}

function answer(socket: Socket, disk: Uint8Array): void {
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + REQUEST_BYTES <= bytes.length; at += REQUEST_BYTES) {
      const offset = bytes.readDoubleLE(at);
      socket.write(disk.subarray(offset, offset + bytes.readDoubleLE(at + 8)));
    }
    rest = bytes.subarray(at);
  });
}

async function useSocket(config: DiskConfig, link: PeerLink): Promise<void> {
  const { port } = (await link.exchange({})) as { port: number };
  const socket = connect({ host: config.host, port });
  await once(socket, 'connect');
  socket.setNoDelay(true);
  /** Blocks come back in the order in which they were asked for. */
  const asked: { readonly into: Uint8Array; done: number; readonly resolve: () => void }[] = [];
  socket.on('data', (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      const first = asked[0];
      if (first === undefined) throw new Error('the server sent more than it was asked for');
      const length = Math.min(chunk.length - at, first.into.length - first.done);
      first.into.set(chunk.subarray(at, at + length), first.done);
      first.done += length;
      at += length;
      if (first.done === first.into.length) asked.shift()?.resolve();
    }
  });
  await link.ready();
  await measure(config, link, (offset, into) => {
    const request = Buffer.alloc(REQUEST_BYTES);
    request.writeDoubleLE(offset, 0);
    request.writeDoubleLE(into.length, 8);
    return new Promise((resolve) => {
      asked.push({ into, done: 0, resolve });
      socket.write(request);
    });
  });
  socket.destroy();
}

async function measure(config: DiskConfig, link: PeerLink, read: ReadBlock): Promise<void> {
  const recorder = new FlowRecorder(config);
  const places = DISK_BYTES / config.bytes;
  let begun = 0;
  const work = async (): Promise<void> => {
    const into = new Uint8Array(config.bytes);
    while (begun < recorder.total) {
      // All over the disk, and the same for all.
      const place = (begun++ * 7919) % places;
      await read(place * config.bytes, into);
      recorder.add(1);
    }
  };
  await Promise.all(Array.from({ length: config.depth }, work));
  link.result(config.bytes >= 1 << 20 ? recorder.bandwidth() : recorder.messagesPerSecond());
}
