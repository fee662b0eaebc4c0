/** The other process of a soak: a server that pipes every stream back, and says what memory it has in use when it is asked. */
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { listen } from '../../src/connection/server.js';

const [certificates = '', sealed] = process.argv.slice(2);
const { server } = await loadOrCreateDevCertificates(certificates);
const service = await listen(
  {
    port: 0,
    cert: server.certPem,
    key: server.keyPem,
    device: 'soft:127.0.0.1?port=0',
    ...(sealed === 'sealed' ? { encryption: 'aes-256-gcm' } : {}),
  },
  async (connection) => {
    connection.on('stream', (stream) => {
      stream.on('error', (error) => process.stderr.write(`the mirror's stream failed: ${error.message}\n`));
      stream.pipe(stream);
    });
    await connection.closed;
  },
);
process.on('message', async (order: string) => {
  if (order === 'measure') process.send?.({ rss: process.memoryUsage.rss() });
  else {
    await service.close();
    process.disconnect();
  }
});
process.send?.({ port: service.address.port });
