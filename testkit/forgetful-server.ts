/**
 * A program that forgets to await: a server whose client vanishes, one whose link fails, one whose patience ends, or one that
 * sends a wrong thing. Arguments: the directory for certificates, and `vanish`, `lose`, `give-up` or `mistake`. Nothing of
 * node:test may be loaded here: it takes unhandled rejections.
 */
import { loadOrCreateDevCertificates } from '../src/certificates/dev-certificates.js';
import { connect } from '../src/connection/client/client.js';
import { RemoteBuffer } from '../src/connection/memory/remote-buffer.js';
import type { Connection } from '../src/connection/program/connection.js';
import { listen } from '../src/connection/server/server.js';
import { RdmaError } from '../src/verbs/errors.js';
import { recoveryOf } from './recovery-of.js';

const [, , directory = '', what] = process.argv;
const { caPem, server: own } = await loadOrCreateDevCertificates(directory);
const device = 'soft:127.0.0.1?port=0';
const served: Connection[] = [];
const recoveryMillis = what === 'vanish' ? 0 : 10_000;
const bufferBytes = 1024 * 1024;
const server = await listen(
  { port: 0, cert: own.certPem, key: own.keyPem, device, recoveryMillis },
  async (connection) => {
    served.push(connection);
    await connection.closed;
  },
);
server.on('handlerError', () => {});
const { host, port } = server.address;
const client = await connect({ host, port, ca: caPem, device, recoveryMillis, bufferBytes });
while (served[0] === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
const [connection] = served;
if (what === 'mistake') {
  void connection.send({} as Uint8Array);
} else if (what === 'give-up') {
  void connection.receive({ timeoutMillis: 1 });
  await new Promise((resolve) => setTimeout(resolve, 50));
} else if (what === 'lose') {
  await loseLink(connection);
} else {
  void connection.receive();
  void connection[Symbol.asyncIterator]().next();
  for (let i = 0; i < 100; i++) void connection.send(new Uint8Array(100_000));
  client.abort(new RdmaError('ERR_RDMA_ABORTED', 'the client vanishes'));
  await connection.closed;
  void connection.send('too late');
}
client.abort(new RdmaError('ERR_RDMA_ABORTED', 'the client has seen enough'));
await client.closed;
await server.close();
process.stdout.write('still serving\n');

/** Begins what a failing link leaves unknown, and what a recovery does not grant. */
async function loseLink(connection: Connection): Promise<void> {
  const { remoteBuffer } = connection;
  if (remoteBuffer === null) throw new Error('the client lends memory');
  connection.on('reconnecting', ({ code }) => {
    process.stdout.write(`reconnecting: ${code}\n`);
    void connection.grant(new Uint8Array(8), { read: true });
  });
  const reconnected = recoveryOf(connection);
  // The client refuses it, and its queue pair fails: what is behind it has no answer.
  connection.write(new RemoteBuffer(0n, 1, 8), new Uint8Array(8)).catch(() => {});
  let unknown = 0;
  for (let i = 0; i < 60; i++) {
    const writing = connection.write(remoteBuffer, new Uint8Array(100_000));
    if (i === 0) writing.then(undefined, () => unknown++).catch(() => {});
  }
  await reconnected;
  process.stdout.write(`unknown: ${unknown}\n`);
}
