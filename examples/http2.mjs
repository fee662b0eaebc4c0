/**
 * HTTP/2 over RDMA, by a server and a client of node:http2 as they are, with many requests on one socket:
 *
 *   node examples/http2.mjs
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:http2';
import { text } from 'node:stream/consumers';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';

const certificates = await devCertificates();

const application = createServer((request, response) => response.end(`you asked for ${request.url}`));
const server = net.createServer({ ...certificates.server }, (socket) =>
  application.emit('connection', socket),
);
await once(server.listen(0), 'listening');
const { port } = server.address();

const session = connect('http://localhost', {
  createConnection: () => net.connect({ port, ...certificates.client }),
});
const answers = ['/a', '/b', '/c'].map((path) => text(session.request({ ':path': path }).end()));
for (const answer of await Promise.all(answers)) console.log(answer);

session.close();
server.close();
