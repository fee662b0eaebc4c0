/**
 * One stream, one way, as a program writes it: chunks until `write` says enough, then on 'drain'. The same program over
 * node:net, node:tls, and a stream of a connection; the server times what it gets after the warm-up.
 */
import { once } from 'node:events';
import { connect as connectNet, createServer as createNetServer, type Server as NetServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { connect } from '../../../src/connection/client/client.js';
import { listen } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { StreamConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';

const BYTES_PER_MB = 1_000_000;
const TLS_1_3 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

interface Address {
  readonly host: string;
  readonly port: number;
}

await runPeer<StreamConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : play(config, link),
);

async function serve(config: StreamConfig, link: PeerLink): Promise<void> {
  let take: (stream: Duplex) => void = () => {};
  const opened = new Promise<Duplex>((resolve) => {
    take = resolve;
  });
  const { address, close } = await (config.over === 'connection' ? serveConnection : serveSocket)(
    config,
    take,
  );
  await link.exchange({ ...address });
  await link.ready();
  const stream = await opened;
  link.result({ value: await bandwidthOf(stream, config) });
  stream.end();
  await once(stream, 'close');
  await close();
}

/** Bytes a second of what comes after the warm-up. */
async function bandwidthOf(stream: Duplex, { bytes, count, warmup }: StreamConfig): Promise<number> {
  const total = (count + warmup) * bytes;
  let received = 0;
  let from = 0;
  let startedAt = 0;
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (startedAt === 0 && received >= warmup * bytes) {
      startedAt = performance.now();
      from = received;
    }
  });
  await once(stream, 'end');
  if (received !== total) throw new Error(`${received} of ${total} bytes came`);
  return ((received - from) / BYTES_PER_MB / (performance.now() - startedAt)) * 1000;
}

async function play(config: StreamConfig, link: PeerLink): Promise<void> {
  const address = (await link.exchange({})) as unknown as Address;
  const { stream, close } = await (config.over === 'connection' ? openStream : openSocket)(config, address);
  await link.ready();
  const chunk = Buffer.alloc(config.bytes, 1);
  let left = config.count + config.warmup;
  const closed = once(stream, 'close');
  stream.resume();
  await new Promise<void>((resolve) => {
    const writeMore = (): void => {
      while (left > 0) {
        left--;
        if (!stream.write(chunk)) return;
      }
      stream.off('drain', writeMore);
      resolve();
    };
    stream.on('drain', writeMore);
    writeMore();
  });
  stream.end();
  await closed;
  await close();
}

// --- over connections -----------------------------------------------------------------------------------------------

async function serveConnection(config: StreamConfig, take: (stream: Duplex) => void) {
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  const device = await openDevice(config.device);
  const service = await listen(
    {
      host: config.host,
      port: 0,
      cert: server.certPem,
      key: server.keyPem,
      clientCa: caPem,
      device,
      ...sealing(config),
    },
    async (connection) => {
      connection.on('stream', take);
      await connection.closed;
    },
  );
  const close = async (): Promise<void> => {
    await service.close();
    await device.close();
  };
  return { address: service.address, close };
}

async function openStream(config: StreamConfig, { host, port }: Address) {
  const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
  const device = await openDevice(config.device);
  const credentials = { ca: caPem, cert: client.certPem, key: client.keyPem };
  const connection = await connect({ host, port, device, ...credentials, ...sealing(config) });
  const close = async (): Promise<void> => {
    await connection.close();
    await device.close();
  };
  return { stream: connection.openStream() as Duplex, close };
}

function sealing({ isSealed }: StreamConfig) {
  return isSealed === true ? { encryption: 'aes-256-gcm' as const } : {};
}

// --- over sockets ---------------------------------------------------------------------------------------------------

async function serveSocket(config: StreamConfig, take: (stream: Duplex) => void) {
  const { server } = await loadOrCreateDevCertificates(config.certificates);
  const options = { allowHalfOpen: true };
  const listener: NetServer =
    config.over === 'tls'
      ? createTlsServer({ ...TLS_1_3, ...options, cert: server.certPem, key: server.keyPem }, take)
      : createNetServer(options, take);
  listener.listen(0, config.host);
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { address: { host: config.host, port }, close: async () => void listener.close() };
}

async function openSocket(config: StreamConfig, { host, port }: Address) {
  const { caPem } = await loadOrCreateDevCertificates(config.certificates);
  const socket =
    config.over === 'tls'
      ? connectTls({ ...TLS_1_3, host, port, ca: caPem })
      : connectNet({ host, port, allowHalfOpen: true });
  await once(socket, config.over === 'tls' ? 'secureConnect' : 'connect');
  return { stream: socket as Duplex, close: async () => {} };
}
