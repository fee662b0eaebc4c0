/**
 * A program that forgets to await: a server whose client vanishes, or one that sends a wrong thing. Arguments: the directory
 * for certificates, and `vanish` or `mistake`. Nothing of node:test may be loaded here: it takes unhandled rejections.
 */
import { loadOrCreateDevCertificates } from '../src/certificates/dev-certificates.js';
import { connect } from '../src/connection/client.js';
import type { Connection } from '../src/connection/connection.js';
import { listen } from '../src/connection/server.js';
import { RdmaError } from '../src/verbs/errors.js';

const [, , directory = '', what] = process.argv;
const { caPem, server: own } = await loadOrCreateDevCertificates(directory);
const device = 'soft:127.0.0.1?port=0';
const served: Connection[] = [];
const server = await listen(
  { port: 0, cert: own.certPem, key: own.keyPem, device, recoveryMillis: 0 },
  async (connection) => {
    served.push(connection);
    await connection.closed;
  },
);
server.on('handlerError', () => {});
const { host, port } = server.address;
const client = await connect({ host, port, ca: caPem, device, recoveryMillis: 0 });
while (served[0] === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
const [connection] = served;
if (what === 'mistake') {
  void connection.send({} as Uint8Array);
} else {
  void connection.receive();
  for (let i = 0; i < 100; i++) void connection.send(new Uint8Array(100_000));
  client.abort(new RdmaError('ERR_RDMA_ABORTED', 'the client vanishes'));
  await connection.closed;
  void connection.send('too late');
}
await client.closed;
await server.close();
process.stdout.write('still serving\n');
