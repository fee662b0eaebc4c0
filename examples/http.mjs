/**
 * HTTP/1.1 over RDMA, by a server and an agent of node:http as they are:
 *
 *   node examples/http.mjs
 *
 * The sockets are those of queuepair/net; node:http takes any stream.
 */
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';

const certificates = await devCertificates();

const application = createServer((request, response) => {
  if (request.method === 'POST') request.pipe(response);
  else response.end(`you asked for ${request.url}`);
});
let sockets = 0;
const server = net.createServer({ ...certificates.server }, (socket) => {
  sockets++;
  application.emit('connection', socket);
});
await once(server.listen(0), 'listening');
const { port } = server.address();

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
agent.createConnection = () => net.connect({ port, ...certificates.client });
console.log(String(await ask('/first')));
console.log(String(await ask('/second')));
console.log((await ask('/echo', Buffer.alloc(10_000_000))).length, 'bytes came back');
console.log('sockets:', sockets);

agent.destroy();
server.close();

async function ask(path, body) {
  const asked = request({ agent, path, method: body === undefined ? 'GET' : 'POST' });
  asked.end(body);
  const [response] = await once(asked, 'response');
  return await buffer(response);
}
