/**
 * A client of undici over RDMA, by its option `connect`. The same dispatcher serves `fetch`:
 *
 *   node examples/undici.mjs             needs the package undici
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';
import { Agent, fetch } from 'undici';

const certificates = await devCertificates();

const application = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ path: request.url, from: request.socket.remoteAddress }));
});
const server = net.createServer({ ...certificates.server }, (socket) =>
  application.emit('connection', socket),
);
await once(server.listen(0), 'listening');

const dispatcher = new Agent({ connect });
for (const path of ['/one', '/two', '/three']) {
  const response = await fetch(`http://localhost:${server.address().port}${path}`, { dispatcher });
  console.log(response.status, await response.json());
}

await dispatcher.close();
server.close();

/** What undici calls for each socket that it needs. */
function connect({ hostname, port }, done) {
  const socket = net.connect({ host: hostname, port, ...certificates.client });
  socket.once('connect', () => done(null, socket));
  socket.once('error', (error) => done(error, null));
}
