/**
 * Brings connections up and down, one after the other, and times every step on the client's side. Both sides hold a
 * device open and show certificates; every connection is cold: no TLS session is resumed.
 */

import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { DurationSample } from '../../../src/cli/bench/distribution.js';
import { connect } from '../../../src/connection/client/client.js';
import { StepName } from '../../../src/connection/common/steps.js';
import { listen } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { ConnectConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';

/** What a part is named, and the step that ends it. */
const PARTS = [
  ['tls', StepName.TLS],
  ['psn-exchange', StepName.PSN_EXCHANGED],
  ['objects', StepName.OBJECTS_CREATED],
  ['parameters', StepName.PARAMETERS_EXCHANGED],
  ['transitions', StepName.RTS],
  ['receives', StepName.RECEIVES_POSTED],
  ['ready', StepName.READY],
] as const;

await runPeer<ConnectConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : measure(config, link),
);

async function serve(config: ConnectConfig, link: PeerLink): Promise<void> {
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  const device = await openDevice(config.device);
  let left = config.count + config.warmup;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const service = await listen(
    { host: config.host, port: 0, cert: server.certPem, key: server.keyPem, clientCa: caPem, device },
    async (connection) => {
      await connection.closed;
    },
  );
  service.on('disconnection', () => {
    if (--left === 0) finish();
  });
  await link.exchange({ ...service.address });
  await link.ready();
  await finished;
  await service.close();
  await device.close();
}

async function measure(config: ConnectConfig, link: PeerLink): Promise<void> {
  const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
  const device = await openDevice(config.device);
  const { host, port } = (await link.exchange({})) as { host: string; port: number };
  await link.ready();
  const { count, warmup } = config;
  const ready = new DurationSample();
  const parts = PARTS.map(([name]) => ({ name, durations: new DurationSample() }));
  let startedAt = performance.now();
  for (let i = -warmup; i < count; i++) {
    if (i === 0) startedAt = performance.now();
    const atMillis = new Map<string, number>();
    const connection = await connect({
      host,
      port,
      ca: caPem,
      cert: client.certPem,
      key: client.keyPem,
      device,
      onStep: (step) => atMillis.set(step.name, step.atMillis),
    });
    if (i >= 0) {
      const times = PARTS.map(([, step]) => atMillis.get(step) ?? Number.NaN);
      parts.forEach(({ durations }, part) => {
        durations.add((times[part] ?? Number.NaN) - (times[part - 1] ?? 0));
      });
      ready.add(times.at(-1) ?? Number.NaN);
    }
    await connection.close();
  }
  if (config.measure === 'rate') link.result({ value: (1000 * count) / (performance.now() - startedAt) });
  else
    link.result({
      value: ready.medianMillis,
      p99: ready.p99Millis,
      parts: Object.fromEntries(parts.map(({ name, durations }) => [name, durations.medianMillis])),
    });
  await device.close();
}
