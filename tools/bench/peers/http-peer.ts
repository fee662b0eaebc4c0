/**
 * Requests of HTTP, one after the other over one socket that is kept: GET, and an answer of so many bytes. Server and client are those
 * of node:http; what differs is the socket beneath.
 */
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import * as queuepair from '../../../src/net.js';
import type { HttpConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';
import { RoundTripRecorder } from './recorders.js';

const TLS_1_3 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
const SERVER_NAME = 'localhost';

/** A port, or the path of a UNIX socket. */
interface Place {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

await runPeer<HttpConfig>((config, link) =>
  config.role === 'server' ? serve(config, link) : measure(config, link),
);

async function serve(config: HttpConfig, link: PeerLink): Promise<void> {
  const body = Buffer.alloc(config.bytes, 'x');
  const application = createServer({ keepAliveTimeout: 0 }, (_request, response) => {
    response.writeHead(200, { 'content-length': body.length });
    response.end(body);
  });
  const listener = await listenerOf(config, application);
  const path = config.over === 'unix' ? join(tmpdir(), `queuepair-bench-${process.pid}.sock`) : '';
  listener.listen(path === '' ? { port: 0, host: config.host } : { path });
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const left = once(listener, 'connection').then(([socket]) => once(socket as net.Socket, 'close'));
  await link.exchange({ host: config.host, port, path });
  await link.ready();
  await left;
  listener.close();
}

async function listenerOf(config: HttpConfig, application: Server): Promise<net.Server> {
  const take = (socket: Duplex): void => void application.emit('connection', socket);
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  const credentials = { cert: server.certPem, key: server.keyPem };
  switch (config.over) {
    case 'queuepair':
    case 'queuepair-sealed': {
      const options = { ...credentials, clientCa: caPem, device: config.device, ...sealing(config) };
      return queuepair.createServer(options, take) as unknown as net.Server;
    }
    case 'tls':
      return tls.createServer({ ...TLS_1_3, ...credentials, ca: caPem, requestCert: true }, take);
    default:
      return net.createServer({ noDelay: true }, take);
  }
}

async function measure(config: HttpConfig, link: PeerLink): Promise<void> {
  const place = (await link.exchange({})) as unknown as Place;
  const socket = await dial(config, place);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  Object.assign(agent, { createConnection: () => socket });
  await link.ready();
  const recorder = new RoundTripRecorder(config);
  do await get(agent, config.bytes);
  while (!recorder.tick());
  link.result(recorder.result());
  agent.destroy();
}

async function dial(config: HttpConfig, { host, port, path }: Place): Promise<Duplex> {
  const { caPem: ca, client } = await loadOrCreateDevCertificates(config.certificates);
  const credentials = { ca, cert: client.certPem, key: client.keyPem };
  switch (config.over) {
    case 'queuepair':
    case 'queuepair-sealed': {
      const socket = queuepair.connect({
        host,
        port,
        ...credentials,
        device: config.device,
        ...sealing(config),
      });
      await once(socket, 'connect');
      return socket;
    }
    case 'tls': {
      const socket = tls.connect({ ...TLS_1_3, host, port, ...credentials, servername: SERVER_NAME });
      await once(socket, 'secureConnect');
      socket.setNoDelay(true);
      return socket;
    }
    default: {
      const socket = path === '' ? net.connect({ host, port, noDelay: true }) : net.connect({ path });
      await once(socket, 'connect');
      return socket;
    }
  }
}

function get(agent: Agent, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const asking = request({ agent, path: '/', host: SERVER_NAME }, (response: IncomingMessage) => {
      let received = 0;
      response.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      response.on('end', () =>
        received === bytes ? resolve() : reject(new Error(`${received} of ${bytes} bytes came`)),
      );
    });
    asking.on('error', reject);
    asking.end();
  });
}

function sealing({ over }: HttpConfig): { encryption?: 'aes-256-gcm' } {
  return over === 'queuepair-sealed' ? { encryption: 'aes-256-gcm' } : {};
}
