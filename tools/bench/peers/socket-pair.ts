/**
 * Opens the TCP or TLS connection between two socket peers. The side that receives most connects, because Node.js
 * reads into a buffer of one's own (`onread`) on that side only.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import type { SocketConfig } from '../peer-protocol.js';
import type { PeerLink } from './peer.js';

/**
 * Takes the bytes chunk[0, length); they are only valid during the call. The first can come before `openSocket` has
 * resolved on this side, when the other side was told first that both are ready.
 */
export type OnBytes = (socket: Socket, chunk: Buffer, length: number) => void;

const SERVER_NAME = 'localhost';

/** `receiveBytes`: size of the one buffer that everything is received into, where that is possible. */
export async function openSocket(
  config: SocketConfig,
  connects: boolean,
  receiveBytes: number,
  link: PeerLink,
  onBytes: OnBytes,
): Promise<Socket> {
  const socket = connects
    ? await connectSide(config, receiveBytes, link, onBytes)
    : await listenSide(config, link, onBytes);
  socket.setNoDelay(true);
  // The other side leaves when it has all: that may reset the connection.
  socket.on('error', () => undefined);
  await link.ready();
  return socket;
}

async function connectSide(
  config: SocketConfig,
  receiveBytes: number,
  link: PeerLink,
  onBytes: OnBytes,
): Promise<Socket> {
  const { host, port } = (await link.exchange({})) as { host: string; port: number };
  if (config.certificates !== undefined) {
    const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
    const socket = connectTls({
      host,
      port,
      ca: caPem,
      cert: client.certPem,
      key: client.keyPem,
      servername: SERVER_NAME,
      minVersion: 'TLSv1.3',
    });
    socket.on('data', (chunk: Buffer) => onBytes(socket, chunk, chunk.length));
    await once(socket, 'secureConnect');
    return socket;
  }
  const buffer = Buffer.allocUnsafeSlow(receiveBytes);
  const callback = (length: number): boolean => {
    onBytes(socket, buffer, length);
    return true;
  };
  const socket: Socket = connect({ host, port, onread: { buffer, callback } });
  await once(socket, 'connect');
  return socket;
}

async function listenSide(config: SocketConfig, link: PeerLink, onBytes: OnBytes): Promise<Socket> {
  const { host } = config;
  const server = config.certificates === undefined ? createServer() : await tlsServer(config.certificates);
  server.listen(0, host);
  await once(server, 'listening');
  const accepted = once(server, config.certificates === undefined ? 'connection' : 'secureConnection');
  const address = server.address();
  await link.exchange({ host, port: typeof address === 'object' ? address?.port : 0 });
  const [socket] = (await accepted) as [Socket];
  socket.on('data', (chunk: Buffer) => onBytes(socket, chunk, chunk.length));
  server.close();
  return socket;
}

async function tlsServer(certificates: string) {
  const { caPem, server } = await loadOrCreateDevCertificates(certificates);
  return createTlsServer({
    cert: server.certPem,
    key: server.keyPem,
    ca: caPem,
    requestCert: true,
    minVersion: 'TLSv1.3',
  });
}
