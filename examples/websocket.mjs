/**
 * A WebSocket over RDMA, by the package ws at both ends:
 *
 *   node examples/websocket.mjs          needs the package ws
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';
import { WebSocket, WebSocketServer } from 'ws';

const certificates = await devCertificates();

const application = createServer();
new WebSocketServer({ server: application }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
const server = net.createServer({ ...certificates.server }, (socket) =>
  application.emit('connection', socket),
);
await once(server.listen(0), 'listening');
const { port } = server.address();

const socket = new WebSocket('ws://localhost', {
  createConnection: () => net.connect({ port, ...certificates.client }),
});
await once(socket, 'open');
for (const message of ['hello', Buffer.alloc(3_000_000)]) {
  socket.send(message);
  const [data, isBinary] = await once(socket, 'message');
  console.log(isBinary ? `${data.length} bytes came back` : `"${data}" came back`);
}

socket.close();
await once(socket, 'close');
server.close();
