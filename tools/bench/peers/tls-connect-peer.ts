/**
 * Bare TLS 1.3 with certificates on both sides, as the measure of `connect`: from the call until the first byte of the
 * server, which it sends when it has verified the client.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { DurationSample } from '../../../src/cli/bench/distribution.js';
import type { ConnectConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';

const TLS_1_3 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

await runPeer<ConnectConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : measure(config, link),
);

async function serve(config: ConnectConfig, link: PeerLink): Promise<void> {
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  let left = config.count + config.warmup;
  const listener = createServer({
    ...TLS_1_3,
    cert: server.certPem,
    key: server.keyPem,
    ca: caPem,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const finished = new Promise<void>((resolve) => {
    listener.on('secureConnection', (socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(Buffer.alloc(1));
      socket.once('close', () => {
        if (--left === 0) resolve();
      });
    });
  });
  listener.listen(0, config.host);
  await once(listener, 'listening');
  const address = listener.address();
  await link.exchange({ host: config.host, port: typeof address === 'object' ? address?.port : 0 });
  await link.ready();
  await finished;
}

async function measure(config: ConnectConfig, link: PeerLink): Promise<void> {
  const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
  const { host, port } = (await link.exchange({})) as { host: string; port: number };
  await link.ready();
  const { count, warmup } = config;
  const times = new DurationSample();
  for (let i = -warmup; i < count; i++) {
    const start = performance.now();
    const socket = connect({
      ...TLS_1_3,
      host,
      port,
      ca: caPem,
      cert: client.certPem,
      key: client.keyPem,
    });
    await once(socket, 'data');
    if (i >= 0) times.add(performance.now() - start);
    socket.end();
    await once(socket, 'close');
  }
  link.result({ value: times.medianMillis, p99: times.p99Millis });
}
