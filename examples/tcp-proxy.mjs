/**
 * A TCP service on RDMA, and back: its clients and the service itself are as they were, and know TCP alone. Between the two proxies,
 * as between two hosts, bytes travel over queue pairs:
 *
 *   node examples/tcp-proxy.mjs
 *
 *   client ── TCP ──> near proxy ══ RDMA ══> far proxy ── TCP ──> service
 */
import { once } from 'node:events';
import tcp from 'node:net';
import { pipeline } from 'node:stream/promises';
import { devCertificates } from 'queuepair/certificates';
import rdma from 'queuepair/net';

const certificates = await devCertificates();

const service = tcp.createServer((socket) => socket.write('what do you say? ') && socket.pipe(socket));
const servicePort = await listening(service);

const far = rdma.createServer({ ...certificates.server, allowHalfOpen: true }, (socket) =>
  join(socket, tcp.connect({ port: servicePort, allowHalfOpen: true })),
);
const farPort = await listening(far);

const near = tcp.createServer({ allowHalfOpen: true }, (socket) =>
  join(socket, rdma.connect({ port: farPort, ...certificates.client, allowHalfOpen: true })),
);
const nearPort = await listening(near);

const client = tcp.connect(nearPort, '127.0.0.1');
client.end('hello');
let answer = '';
for await (const piece of client) answer += piece;
console.log('the service answered:', answer);

for (const server of [near, far, service]) server.close();

/** Both directions; when one of them fails, both sockets end. */
async function join(one, other) {
  await Promise.all([pipeline(one, other), pipeline(other, one)]).catch((error) => {
    console.error(`a connection failed: ${error.message}`);
    one.destroy();
    other.destroy();
  });
}

async function listening(server) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server.address().port;
}
