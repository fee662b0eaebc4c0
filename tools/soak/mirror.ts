/** The other process of a soak: a server that sends every message and stream back, and says what it has in use when it is asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { listen } from '../../src/connection/server/server.js';

const RECOVERY_MILLIS = 30_000;
const LOOK_MILLIS = 50;
/** A server waits this long for a client that a fault met while it came up, and counts it among no connections. */
const MOST_LOOKS = (RECOVERY_MILLIS + 5000) / LOOK_MILLIS;

/** Nobody is left to ask for anything. */
const orphaned = (): void => process.exit(1);

const [certificates = '', sealed] = process.argv.slice(2);
const { server } = await loadOrCreateDevCertificates(certificates);
const service = await listen(
  {
    port: 0,
    cert: server.certPem,
    key: server.keyPem,
    device: 'soft:127.0.0.1?port=0',
    recoveryMillis: RECOVERY_MILLIS,
    admission: { connectsPerSecond: 1000, burst: 1000 },
    slots: 64,
    ...(sealed === 'sealed' ? { encryption: 'aes-256-gcm' } : {}),
  },
  async (connection) => {
    connection.on('stream', (stream) => {
      stream.on('error', (error) => process.stderr.write(`the mirror's stream failed: ${error.message}\n`));
      stream.pipe(stream);
    });
    for await (const { data } of connection) await connection.send(data);
  },
);
const open = (): number => Object.values(service.census()).reduce((sum, count) => sum + count, 0);
process.on('message', async (order: string) => {
  if (order === 'measure') {
    globalThis.gc?.();
    process.send?.({ rss: process.memoryUsage.rss() });
  } else if (order === 'count') {
    // Clients are gone; what they had is being freed.
    for (let looks = 0; looks < MOST_LOOKS && open() > 0; looks++) await sleep(LOOK_MILLIS);
    process.send?.({ open: open() });
  } else {
    await service.close();
    process.off('disconnect', orphaned);
    process.disconnect();
  }
});
process.on('disconnect', orphaned);
process.send?.({ port: service.address.port });
