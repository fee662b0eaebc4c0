/** What the session tests share: certificates, example frames, a raw TLS peer that can misbehave, a count of sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, before } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  issueCertificate,
  type KeyedCertificate,
  makeAuthority,
} from '../../src/certificates/certificate-maker.js';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { FrameDecoder } from '../../src/session/frame-decoder.js';
import type { Frame } from '../../src/session/frames.js';
import type { SessionParameters } from '../../src/session/session-data.js';
import type { TlsClientOptions } from '../../src/session/tls-client.js';
import { ALPN_PROTOCOL } from '../../src/session/tls-protocol.js';
import type { TlsRefusal } from '../../src/session/tls-refusal.js';
import { createTlsServer, type TlsServer, type TlsServerOptions } from '../../src/session/tls-server.js';
import { toPsn } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { sessionParameters } from '../../testkit/session-parameters.js';

const DAY_MILLIS = 86_400_000;

export const PSN_A = toPsn(0xabcde1);
export const PSN_B = toPsn(0x123457);

export const PARAMETERS: SessionParameters = sessionParameters('127.0.0.1');

/** Validity from `from` to `until`, in days from now. */
export const days = (from: number, until: number): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(Date.now() + from * DAY_MILLIS),
  notAfter: new Date(Date.now() + until * DAY_MILLIS),
});

export interface TestCertificates {
  readonly ca: KeyedCertificate;
  readonly server: KeyedCertificate;
  readonly client: KeyedCertificate;
  readonly expiredServer: KeyedCertificate;
  readonly elsewhereServer: KeyedCertificate;
  readonly expiredClient: KeyedCertificate;
  /** Signed by an authority that nobody trusts. */
  readonly strangerCa: KeyedCertificate;
  readonly strangerServer: KeyedCertificate;
  readonly strangerClient: KeyedCertificate;
}

export async function testCertificates(): Promise<TestCertificates> {
  const ca = await makeAuthority('test authority', days(-100, 100));
  const strangerCa = await makeAuthority('another authority', days(-100, 100));
  const local = ['localhost', '127.0.0.1'];
  const server = { commonName: 'test server', use: 'server', names: local } as const;
  const client = { commonName: 'test client', use: 'client', names: ['client-7.test'] } as const;
  return {
    ca,
    strangerCa,
    server: await issueCertificate(ca, { ...server, ...days(-1, 30) }),
    client: await issueCertificate(ca, { ...client, ...days(-1, 30) }),
    expiredServer: await issueCertificate(ca, { ...server, ...days(-30, -1) }),
    expiredClient: await issueCertificate(ca, { ...client, ...days(-30, -1) }),
    elsewhereServer: await issueCertificate(ca, { ...server, names: ['elsewhere.test'], ...days(-1, 30) }),
    strangerServer: await issueCertificate(strangerCa, { ...server, ...days(-1, 30) }),
    strangerClient: await issueCertificate(strangerCa, { ...client, ...days(-1, 30) }),
  };
}

/** A listening server that keeps what happened to it. */
export interface TestServer extends AsyncDisposable {
  readonly server: TlsServer;
  readonly port: number;
  readonly refusals: TlsRefusal[];
  /** The next refusal, also one that has happened already. */
  nextRefusal(): Promise<TlsRefusal>;
}

export async function startServer(
  certificates: TestCertificates,
  options: Partial<TlsServerOptions> & Pick<TlsServerOptions, 'onChannel'>,
): Promise<TestServer> {
  const refusals: TlsRefusal[] = [];
  const waiting: ((refusal: TlsRefusal) => void)[] = [];
  let read = 0;
  const server = createTlsServer({
    cert: certificates.server.certPem,
    key: certificates.server.keyPem,
    clientCa: certificates.ca.certPem,
    onRefused: (refusal) => {
      refusals.push(refusal);
      const waiter = waiting.shift();
      if (waiter === undefined) return;
      read += 1;
      waiter(refusal);
    },
    ...options,
  });
  const { port }: AddressInfo = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    server,
    port,
    refusals,
    nextRefusal: async () => {
      const kept = refusals[read];
      if (kept === undefined) return await new Promise((resolve) => waiting.push(resolve));
      read += 1;
      return kept;
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** What a client of good standing gives. */
export function clientOptions(
  certificates: TestCertificates,
  port: number,
  options: Partial<TlsClientOptions> = {},
): TlsClientOptions {
  return {
    host: '127.0.0.1',
    port,
    ca: certificates.ca.certPem,
    cert: certificates.client.certPem,
    key: certificates.client.keyPem,
    ...options,
  };
}

/** A TLS peer without our channel, so that it can send anything. */
export interface RawPeer {
  readonly socket: TLSSocket;
  /** All frames that came until the connection was gone. */
  readonly frames: Promise<Frame[]>;
}

export async function connectRaw(
  port: number,
  certificates: TestCertificates,
  options: ConnectionOptions = {},
): Promise<RawPeer> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: certificates.ca.certPem,
    cert: certificates.client.certPem,
    key: certificates.client.keyPem,
    ALPNProtocols: [ALPN_PROTOCOL],
    ...options,
  });
  const frames = collectFrames(socket);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return { socket, frames };
}

function collectFrames(socket: TLSSocket): Promise<Frame[]> {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  socket.on('data', (chunk: Buffer) => {
    for (const decoded of decoder.push(chunk)) if (decoded.ok) frames.push(decoded.frame);
  });
  return new Promise((resolve) => socket.once('close', () => resolve(frames)));
}

/** Bytes of a frame with any body. */
export function rawFrame(body: string | Uint8Array, announcedBytes?: number): Buffer {
  const bytes = Buffer.from(body);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(announcedBytes ?? bytes.length, 0);
  return Buffer.concat([prefix, bytes]);
}

/** A promise with its function, for "the first channel that the server hands out". */
export interface Arrival {
  readonly channel: Promise<ControlChannel>;
  readonly arrive: (channel: ControlChannel) => void;
}

export function arrival(): Arrival {
  let arrive: (channel: ControlChannel) => void = () => {};
  const channel = new Promise<ControlChannel>((resolve) => {
    arrive = resolve;
  });
  return { channel, arrive: (arrived) => arrive(arrived) };
}

/** A server that all tests of a file share. */
export interface SharedServer {
  readonly certificates: TestCertificates;
  readonly port: number;
  /** The first channel of the present test, or the first one since `renew`. */
  readonly channel: Promise<ControlChannel>;
  /** `channel` is that of the next connection. */
  renew(): void;
}

/** Registers the hooks of a file: each test leaves no connection behind, and the last one no socket. */
export function sharedServer(options: Partial<TlsServerOptions> = {}): SharedServer {
  let certificates: TestCertificates;
  let server: TestServer;
  let arrived = arrival();
  before(async () => {
    certificates = await testCertificates();
    server = await startServer(certificates, { onChannel: (channel) => arrived.arrive(channel), ...options });
  });
  afterEach(async () => {
    arrived = arrival();
    await noConnections(server.server);
  });
  after(async () => {
    await server.server.close();
    await noOpenSockets();
  });
  return {
    get certificates() {
      return certificates;
    },
    get port() {
      return server.port;
    },
    get channel() {
      return arrived.channel;
    },
    renew() {
      arrived = arrival();
    },
  };
}

/** The `RdmaError` that a promise rejects with; fails for anything else. */
export async function rdmaError(promise: Promise<unknown>): Promise<RdmaError> {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RdmaError, String(error));
  return error;
}

/** Waits until a socket is closed, by an error or not. */
export const gone = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on('error', () => {});
    socket.resume().once('close', () => resolve());
  });

const SOCKETS = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TLSWrap', 'TCPConnectWrap']);

export const openSockets = (): string[] =>
  process.getActiveResourcesInfo().filter((name) => SOCKETS.has(name));

/** Waits until `left()` is empty, and fails with what is left if that takes too long. */
export async function nothingLeft(left: () => readonly string[], withinMillis = 2000): Promise<void> {
  const until = Date.now() + withinMillis;
  while (left().length > 0) {
    if (Date.now() > until) throw new Error(`still there: ${left().join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits until no socket of this process is open; handles close a turn or two after their `close` event. */
export const noOpenSockets = (): Promise<void> => nothingLeft(openSockets);

/** Waits until a server holds no connection: a client may see the end a turn before the server does. */
export const noConnections = (server: TlsServer): Promise<void> =>
  nothingLeft(() => [
    ...new Array<string>(server.channels).fill('channel'),
    ...new Array<string>(server.tlsHandshakes).fill('TLS handshake'),
  ]);
