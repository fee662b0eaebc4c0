/**
 * Messages that are echoed and awaited one by one, as a program writes it, in processes that have done nothing before: over a
 * connection, node:net and node:tls. The client times every message and tells of those from `from` up to `to`.
 */
import { once } from 'node:events';
import { connect as connectNet, createServer as createNetServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { DurationSample } from '../../../src/cli/bench/distribution.js';
import { connect } from '../../../src/connection/client/client.js';
import { listen } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { EchoConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';

const MICROS_PER_MILLI = 1000;
const TLS_1_3 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Sends one message and resolves when it is back. */
type Echo = (message: Uint8Array) => Promise<void>;

await runPeer<EchoConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : measure(config, link),
);

async function serve(config: EchoConfig, link: PeerLink): Promise<void> {
  const address = await (config.over === 'connection' ? serveConnection : serveSocket)(config);
  await link.exchange({ ...address });
  await link.ready();
}

async function measure(config: EchoConfig, link: PeerLink): Promise<void> {
  const address = (await link.exchange({})) as unknown as Address;
  const echo = await (config.over === 'connection' ? openConnection : openSocket)(config, address);
  await link.ready();
  const message = new Uint8Array(config.bytes);
  const sample = new DurationSample();
  for (let i = 0; i < config.to; i++) {
    const since = performance.now();
    await echo(message);
    if (i >= config.from) sample.add(performance.now() - since);
  }
  const { medianMillis, p99Millis } = sample;
  link.result({ value: medianMillis * MICROS_PER_MILLI, p99: p99Millis * MICROS_PER_MILLI });
}

// --- over connections -----------------------------------------------------------------------------------------------

async function serveConnection({
  certificates,
  device,
  host,
  isWarmedUp: warmUp = false,
}: EchoConfig): Promise<Address> {
  const { caPem, server } = await loadOrCreateDevCertificates(certificates);
  const credentials = { cert: server.certPem, key: server.keyPem, clientCa: caPem };
  const options = { host, port: 0, ...credentials, warmUp, device: await openDevice(device) };
  const service = await listen(options, async (connection) => {
    for await (const message of connection) await connection.send(message.data);
  });
  return service.address;
}

async function openConnection(config: EchoConfig, address: Address): Promise<Echo> {
  const { certificates, device, isWarmedUp: warmUp = false } = config;
  const { caPem, client } = await loadOrCreateDevCertificates(certificates);
  const credentials = { ca: caPem, cert: client.certPem, key: client.keyPem };
  const connection = await connect({ ...address, ...credentials, warmUp, device: await openDevice(device) });
  return async (message) => {
    await connection.send(message);
    await connection.receive();
  };
}

// --- over sockets ---------------------------------------------------------------------------------------------------

async function serveSocket({ certificates, host, over }: EchoConfig): Promise<Address> {
  const { server } = await loadOrCreateDevCertificates(certificates);
  const take = (socket: Socket): void => {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => socket.write(chunk));
    // The client leaves when it has all: that may reset the connection.
    socket.on('error', () => {});
  };
  const credentials = { cert: server.certPem, key: server.keyPem };
  const listener =
    over === 'tls' ? createTlsServer({ ...TLS_1_3, ...credentials }, take) : createNetServer(take);
  listener.listen(0, host);
  await once(listener, 'listening');
  const address = listener.address();
  return { host, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

async function openSocket({ certificates, over }: EchoConfig, { host, port }: Address): Promise<Echo> {
  const { caPem } = await loadOrCreateDevCertificates(certificates);
  const socket =
    over === 'tls' ? connectTls({ ...TLS_1_3, host, port, ca: caPem }) : connectNet({ host, port });
  await once(socket, over === 'tls' ? 'secureConnect' : 'connect');
  socket.setNoDelay(true);
  let missing = 0;
  let settle = (): void => {};
  socket.on('data', (chunk: Buffer) => {
    missing -= chunk.length;
    if (missing === 0) settle();
  });
  return (message) =>
    new Promise<void>((resolve) => {
      settle = resolve;
      missing = message.length;
      socket.write(message);
    });
}
