/** The two ends of a connection, as the scale benchmark uses them: connections of ours, and bare TLS as their measure. */
import { once } from 'node:events';
import {
  connect as connectTls,
  createSecureContext,
  createServer,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { loadOrCreateDevCertificates } from '../../../src/certificates/dev-certificates.js';
import { connect } from '../../../src/connection/client/client.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { listen } from '../../../src/connection/server/server.js';
import { openDevice } from '../../../src/open-device.js';
import type { Device } from '../../../src/verbs/device.js';
import type { ScalePeerConfig } from './peer-orders.js';

/** What the server has open, and where it listens. */
export interface ScaleServer {
  readonly port: number;
  readonly open: number;
  /** Those that are about to do without their session, and still have it. */
  readonly leaving: number;
  close(): Promise<void>;
}

/** One connection of the client. */
export interface ScaleClient {
  /** It is about to do without its session, and still has it. */
  readonly isLeaving: boolean;
  /** Sends a message and takes the answer. */
  roundTrip(): Promise<void>;
  close(): Promise<void>;
}

export interface ScaleConnector {
  open(): Promise<ScaleClient>;
  close(): Promise<void>;
}

const HANDLERS = {
  echo: new URL('./echo-handler.js', import.meta.url),
  work: new URL('./work-handler.js', import.meta.url),
} as const;
const MESSAGE = Buffer.alloc(64, 7);
/** Queue pairs that wait 17 s for an answer: a process that stands still for less, on a machine that is busy, ends nothing. */
const DATA_PATH = { slotBytes: 4096, receiveSlots: 8, path: { timeout: 19 } } as const;
/** Thousands of handshakes begin at once here: nobody is too slow, and no address has too many. */
const HANDSHAKE_MILLIS = 60_000;
const MANY = 1_000_000;
const TLS_1_3 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

export async function serveQueuepair(config: ScalePeerConfig): Promise<ScaleServer> {
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  const { workers = 0, handler = 'echo', lifeline = 'session' } = config;
  const opened = workers === 0 ? await openDevice(config.device) : undefined;
  const service = await listen({
    ...{ host: config.host, port: 0, cert: server.certPem, key: server.keyPem, clientCa: caPem },
    ...DATA_PATH,
    device: opened ?? config.device,
    lifeline,
    workers,
    handler: HANDLERS[handler],
    slots: config.most,
    handshakeDeadlineMillis: HANDSHAKE_MILLIS,
    admission: { maxPerAddress: MANY, connectsPerSecond: MANY, burst: MANY, maxHandshakes: MANY },
  });
  return {
    port: service.address.port,
    get open() {
      return service.connections.size;
    },
    get leaving() {
      if (lifeline !== 'brief') return 0;
      return [...service.connections].filter(({ session }) => session === 'open').length;
    },
    close: async () => {
      service.abort();
      await service.close();
      await opened?.close();
    },
  };
}

export async function connectQueuepair(config: ScalePeerConfig): Promise<ScaleConnector> {
  const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
  const device: Device = await openDevice(config.device);
  return {
    open: async () => {
      const connection: Connection = await connect({
        ...{ host: config.host, port: config.port, ca: caPem, cert: client.certPem, key: client.keyPem },
        ...{
          device,
          ...DATA_PATH,
          lifeline: config.lifeline ?? 'session',
          handshakeDeadlineMillis: HANDSHAKE_MILLIS,
        },
      });
      return {
        get isLeaving() {
          return config.lifeline === 'brief' && connection.session === 'open';
        },
        roundTrip: async () => {
          const answer = connection.receive();
          await connection.send(MESSAGE);
          await answer;
        },
        close: () => connection.close(),
      };
    },
    close: () => device.close(),
  };
}

export async function serveTls(config: ScalePeerConfig): Promise<ScaleServer> {
  const { caPem, server } = await loadOrCreateDevCertificates(config.certificates);
  const sockets = new Set<TLSSocket>();
  const listener = createServer({
    ...TLS_1_3,
    ...{ cert: server.certPem, key: server.keyPem, ca: caPem, requestCert: true, rejectUnauthorized: true },
  });
  listener.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => socket.write(bytes));
    // As a client of ours, one that connects knows that the server has verified it.
    socket.write(Buffer.alloc(1));
  });
  listener.listen({ port: 0, host: config.host, backlog: 511 });
  await once(listener, 'listening');
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get open() {
      return sockets.size;
    },
    leaving: 0,
    close: async () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

export async function connectBareTls(config: ScalePeerConfig): Promise<ScaleConnector> {
  const { caPem, client } = await loadOrCreateDevCertificates(config.certificates);
  const secureContext = createSecureContext({
    ...TLS_1_3,
    ...{ ca: caPem, cert: client.certPem, key: client.keyPem },
  });
  return {
    open: () => openTls(config, secureContext),
    close: async () => undefined,
  };
}

async function openTls(config: ScalePeerConfig, secureContext: SecureContext): Promise<ScaleClient> {
  const socket = connectTls({ host: config.host, port: config.port, secureContext });
  socket.setNoDelay(true);
  await once(socket, 'data');
  return {
    isLeaving: false,
    roundTrip: async () => {
      const answer = once(socket, 'data');
      socket.resume();
      socket.write(MESSAGE);
      await answer;
    },
    close: async () => {
      socket.destroy();
    },
  };
}
