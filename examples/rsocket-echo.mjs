/**
 * An echo server in the protocol that stock TCP programs speak over RDMA, and a client of it:
 *
 *   node examples/rsocket-echo.mjs
 *   node examples/rsocket-echo.mjs soft:192.0.2.7      a server on this address of yours, for programs of another host
 *
 * There, on a host with an RDMA device, as rxe0, and Debian's packages librdmacm1 and netcat-traditional:
 *
 *   LD_PRELOAD=/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so nc.traditional 192.0.2.7 7000
 *
 * The protocol is plain: it proves nobody and hides nothing. It is for networks that you trust.
 */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { openDevice } from 'queuepair';
import net from 'queuepair/net';

const [, , name = 'soft:127.0.0.1'] = process.argv;
const host = name.replace(/^soft:/, '');
const device = await openDevice(name);

const server = net.createServer({ rdma: 'rsocket', device }, (socket) => {
  console.log('server: somebody has come from', socket.remoteAddress);
  socket.on('error', ({ message }) => console.log('server:', message));
  socket.pipe(socket);
});
await once(server.listen(7000, host), 'listening');

if (process.argv.length > 2) console.log(`waiting for rsocket on ${host}, port 7000`);
else await client();

async function client() {
  const { udpPort } = await device.queryPort(); // 4791, unless another program of this host has it
  const socket = net.connect({ rdma: 'rsocket', device, host, port: 7000, udpPort });
  socket.end('hello over rsocket');
  console.log(`client: "${await text(socket)}" came back`);

  server.close();
  await once(server, 'close');
  await device.close();
}
