/** Echo over node:dgram, with connected sockets: what a UDP program in JavaScript gets without this package. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Load, PeerConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';
import { RoundTripRecorder } from './recorders.js';

await runPeer<PeerConfig & Load>(async (config, link) => {
  const socket = await openConnected(config, link);
  const message = Buffer.alloc(config.bytes);
  const recorder = new RoundTripRecorder(config);
  await (config.role === 'client' ? ping(socket, message, recorder) : echo(socket, message, recorder.total));
  if (config.role === 'client') link.result(recorder.result());
});

async function openConnected({ host }: PeerConfig, link: PeerLink): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const peer = await link.exchange({ host, port: socket.address().port });
  socket.connect(Number(peer['port']), String(peer['host']));
  await once(socket, 'connect');
  await link.ready();
  return socket;
}

function ping(socket: Socket, message: Buffer, recorder: RoundTripRecorder): Promise<void> {
  return new Promise((resolve) => {
    socket.on('message', () => {
      if (recorder.tick()) resolve();
      else socket.send(message);
    });
    socket.send(message);
  });
}

function echo(socket: Socket, message: Buffer, total: number): Promise<void> {
  let left = total;
  return new Promise((resolve) => {
    socket.on('message', () => {
      if (--left > 0) socket.send(message);
      else socket.send(message, () => resolve());
    });
  });
}
