/**
 * `node:tls` in virtual time: servers and clients that meet in memory, over TCP connections that delay, stall in one
 * direction or both, are reset at both ends or at one, and come back. While it is installed, `tls.createServer` and
 * `tls.connect` make these, for modules that were imported before as well.
 *
 * What certificates are is not under test here: a client is the name that its `cert` holds, its host the one that its `ca`
 * holds (`hostCertificate`), and every server is trusted.
 */
import crypto, { createHash, createHmac } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { replace } from './replace.js';
import type { VirtualTime } from './virtual-time.js';

const HOP_MILLIS = 0.1;
/** What the two systems keep of one direction; more waits in the socket. */
const BUFFERED_BYTES = 32_768;

type Callback = (error?: Error | null) => void;
type Item = { readonly bytes: Buffer } | { readonly event: () => void };

/** A text that passes for a certificate here. */
export const hostCertificate = (name: string): string =>
  `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
/** And for its key. */
export const hostKey = (name: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${name}\n-----END PRIVATE KEY-----\n`;
const nameIn = (pem: unknown): string => String(pem).split('\n')[1] ?? '';

export class VirtualTls {
  readonly time: VirtualTime;
  /** Connections that have not ended at both sides. */
  readonly connections = new Set<TcpConnection>();
  /** Sees every connection before its first byte. */
  onConnection: (connection: TcpConnection) => void = () => {};
  readonly #servers = new Map<string, VirtualTlsServer>();
  readonly #unreachable = new Set<string>();
  #lastPort = 50_000;
  #made = 0;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  /** Packets to and from this address are lost, and so are all that wait for an answer. */
  setReachable(host: string, isReachable: boolean): void {
    if (isReachable) this.#unreachable.delete(host);
    else this.#unreachable.add(host);
  }

  install(): () => void {
    const restoreTls = replace(tls, {
      createServer: () => new VirtualTlsServer(this),
      createSecureContext: (options: object) => options,
      connect: (options: ConnectSettings) => this.#connect(options),
    });
    const restoreCrypto = replace(crypto, { X509Certificate: VirtualCertificate });
    syncBuiltinESMExports();
    return () => {
      restoreTls();
      restoreCrypto();
      syncBuiltinESMExports();
    };
  }

  /** A server begins to listen; `false` when another one does. */
  listen(server: VirtualTlsServer, address: string): boolean {
    if (this.#servers.has(address)) return false;
    this.#servers.set(address, server);
    return true;
  }

  /** Nobody listens at this host any more, as when its machine is gone. */
  forget(host: string): void {
    for (const address of this.#servers.keys())
      if (address.startsWith(`${host}:`)) this.#servers.delete(address);
  }

  unlisten(server: VirtualTlsServer): void {
    for (const [address, other] of this.#servers) if (other === server) this.#servers.delete(address);
  }

  #connect({ host, port, secureContext }: ConnectSettings): VirtualSocket {
    const from = nameIn(secureContext.ca);
    const connection = new TcpConnection(
      this,
      { host: from, port: ++this.#lastPort },
      { host, port },
      ++this.#made,
    );
    const cert = secureContext.cert === undefined ? null : nameIn(secureContext.cert);
    connection.clientName = cert;
    this.connections.add(connection);
    this.onConnection(connection);
    const isLost = (): boolean => this.#unreachable.has(host) || this.#unreachable.has(from);
    connection.toServer.send({
      event: () => {
        if (isLost()) return;
        const server = this.#servers.get(`${host}:${port}`);
        if (server === undefined)
          connection.toClient.send({ event: () => connection.client.lose('ECONNREFUSED') });
        else connection.beAccepted(server);
      },
    });
    return connection.client;
  }
}

/** Failures of a server's socket before TLS is up go to the server. */
const ignore = (): void => {};

interface ConnectSettings {
  readonly host: string;
  readonly port: number;
  readonly secureContext: { readonly ca?: string; readonly cert?: string };
}

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** A TCP connection and the TLS session over it. */
export class TcpConnection {
  readonly client: VirtualSocket;
  readonly server: VirtualSocket;
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  /** Whose certificate the client shows. */
  clientName: string | null = null;
  readonly clientPlace: Place;
  readonly serverPlace: Place;

  constructor(tls: VirtualTls, client: Place, server: Place, number: number) {
    const secret = createHash('sha256').update(`TLS connection ${number} of ${client.host}`).digest();
    this.clientPlace = client;
    this.serverPlace = server;
    this.toServer = new Pipe(tls.time);
    this.toClient = new Pipe(tls.time);
    const ended = (): void => {
      const isServerGone = this.server.destroyed || this.server._parent === undefined;
      if (this.client.destroyed && isServerGone) tls.connections.delete(this);
    };
    this.client = new VirtualSocket(this, client, server, this.toServer, secret, ended);
    this.server = new VirtualSocket(this, server, client, this.toClient, secret, ended);
    this.server.on('error', ignore);
    this.toServer.target = this.server;
    this.toClient.target = this.client;
  }

  /** The server has the connection, and TLS begins. */
  beAccepted(listener: VirtualTlsServer): void {
    const raw = new RawSocket(this.server);
    this.server._parent = raw;
    listener.enter(this.server);
    listener.emit('connection', raw);
    if (this.server.destroyed) return;
    this.toClient.send({
      event: () => {
        if (this.client.destroyed) return;
        this.client.secure(null);
        this.toServer.send({
          event: () => {
            if (this.server.destroyed) return;
            this.server.off('error', ignore);
            this.server.secure(this.clientName);
            listener.emit('secureConnection', this.server);
          },
        });
        this.client.emit('secureConnect');
      },
    });
    this.server.once('error', (error) => {
      if (!this.server.isSecure) listener.emit('tlsClientError', error, this.server);
    });
  }

  /** Both ends learn that the connection is gone, or one of them alone: the other hears nothing any more. */
  reset(whoLearns: 'both' | 'client' | 'server'): void {
    this.toServer.breakOff();
    this.toClient.breakOff();
    if (whoLearns !== 'server') this.client.lose('ECONNRESET');
    if (whoLearns !== 'client') this.server.lose('ECONNRESET');
  }
}

/** One direction of a TCP connection. */
export class Pipe {
  target: VirtualSocket | null = null;
  /** Sees the bytes as they leave. */
  onBytes: (bytes: Buffer) => void = () => {};
  readonly #time: VirtualTime;
  readonly #held: Item[] = [];
  readonly #blocked: Callback[] = [];
  #bytes = 0;
  #lastAt = 0;
  #stalls = 0;
  #isBroken = false;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get isStalled(): boolean {
    return this.#stalls > 0;
  }

  send(item: Item): void {
    if (this.#isBroken) return;
    if ('bytes' in item) {
      this.#bytes += item.bytes.length;
      this.onBytes(item.bytes);
    }
    this.#lastAt = Math.max(this.#lastAt, this.#time.now + HOP_MILLIS);
    this.#time.at(this.#lastAt, () => this.#arrive(item));
  }

  /** Calls back when there is room for more. */
  whenRoom(callback: Callback): void {
    if (this.#bytes < BUFFERED_BYTES) callback();
    else this.#blocked.push(callback);
  }

  /** Nothing arrives, and nothing is lost, until `resume` was called as often. */
  stall(): void {
    this.#stalls++;
  }

  resume(): void {
    if (this.#stalls === 0 || --this.#stalls > 0) return;
    for (const item of this.#held.splice(0)) this.#give(item);
  }

  /** Nothing arrives any more. */
  breakOff(): void {
    this.#isBroken = true;
    this.#held.length = 0;
  }

  /** The target took bytes in. */
  taken(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < BUFFERED_BYTES) for (const go of this.#blocked.splice(0)) go();
  }

  #arrive(item: Item): void {
    if (this.#isBroken) return;
    if (this.#stalls > 0 || this.#held.length > 0) this.#held.push(item);
    else this.#give(item);
  }

  #give(item: Item): void {
    if ('event' in item) item.event();
    else this.target?.accept(item.bytes);
  }
}

/** The end of a connection, as a TLS socket is. */
export class VirtualSocket extends Duplex {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly alpnProtocol = 'queuepair/1';
  readonly getProtocol = (): string => 'TLSv1.3';
  readonly authorizationError = undefined;
  authorized = false;
  isSecure = false;
  /** The TCP socket under it, on servers. */
  _parent: RawSocket | undefined;
  readonly #connection: TcpConnection;
  readonly #out: Pipe;
  readonly #secret: Buffer;
  readonly #ended: () => void;
  readonly #waiting: Buffer[] = [];
  #mayPush = true;
  #hasEnded = false;
  #peerName: string | null = null;

  constructor(
    connection: TcpConnection,
    local: Place,
    remote: Place,
    out: Pipe,
    secret: Buffer,
    ended: () => void,
  ) {
    super({ allowHalfOpen: false });
    this.localAddress = local.host;
    this.localPort = local.port;
    this.remoteAddress = remote.host;
    this.remotePort = remote.port;
    this.#connection = connection;
    this.#out = out;
    this.#secret = secret;
    this.#ended = ended;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  getPeerX509Certificate(): VirtualCertificate | undefined {
    return this.#peerName === null ? undefined : new VirtualCertificate(hostCertificate(this.#peerName));
  }

  exportKeyingMaterial(lengthBytes: number, label: string, context: Buffer): Buffer {
    const hmac = createHmac('sha512', this.#secret).update(label).update('\0').update(context);
    return hmac.digest().subarray(0, lengthBytes);
  }

  /** TLS is up. `peerName`: of the peer's certificate, if it showed one; a server always does. */
  secure(peerName: string | null): void {
    this.isSecure = true;
    const isClient = this === this.#connection.client;
    this.#peerName = isClient ? `server ${this.remoteAddress}` : peerName;
    this.authorized = this.#peerName !== null;
  }

  /** The peer's bytes are here. */
  accept(bytes: Buffer): void {
    if (this.destroyed) {
      // As TCP answers bytes for a socket that is gone.
      const { client } = this.#connection;
      const peer = this === client ? this.#connection.server : client;
      this.#out.send({ event: () => peer.lose('ECONNRESET') });
      return;
    }
    this.#waiting.push(bytes);
    this.#pushOn();
  }

  /** The system says that the connection is gone. */
  lose(code: string): void {
    if (this.destroyed) return;
    this.#hasEnded = true;
    this.destroy(Object.assign(new Error(`virtual ${code}`), { code }));
  }

  override _read(): void {
    this.#mayPush = true;
    this.#pushOn();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#out.send({ bytes: chunk });
    this.#out.whenRoom(callback);
  }

  override _final(callback: Callback): void {
    this.#sendEnd();
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#sendEnd();
    callback(error);
    // Listeners of `close` run before the connection counts as gone.
    process.nextTick(() => {
      this._parent?.leave();
      this.#ended();
    });
  }

  #sendEnd(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { client, server } = this.#connection;
    const peer = this === client ? server : client;
    this.#out.send({ event: () => peer.endIncoming() });
  }

  /** The peer has ended its direction. */
  endIncoming(): void {
    if (this.destroyed) return;
    if (!this.isSecure) {
      this.lose('ECONNRESET');
      return;
    }
    this.#waiting.push(Buffer.alloc(0));
    this.#pushOn();
  }

  #pushOn(): void {
    while (this.#mayPush && this.#waiting.length > 0) {
      const bytes = this.#waiting.shift() as Buffer;
      if (bytes.length === 0) {
        this.push(null);
        return;
      }
      const { client, toClient, toServer } = this.#connection;
      (this === client ? toClient : toServer).taken(bytes.length);
      this.#mayPush = this.push(bytes);
    }
  }
}

/** The TCP socket under the TLS socket of a server. */
export class RawSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #secure: VirtualSocket;
  #isGone = false;

  constructor(secure: VirtualSocket) {
    super();
    this.remoteAddress = secure.remoteAddress;
    this.remotePort = secure.remotePort;
    this.#secure = secure;
  }

  unref(): this {
    return this;
  }

  destroy(): void {
    this.#secure.on('error', () => undefined);
    this.#secure.destroy();
  }

  leave(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.emit('close');
  }
}

export class VirtualTlsServer extends EventEmitter {
  readonly #tls: VirtualTls;
  readonly #open = new Set<VirtualSocket>();
  #place: Place = { host: '', port: 0 };
  #onClosed: (() => void) | null = null;

  constructor(tls: VirtualTls) {
    super();
    this.#tls = tls;
  }

  listen({ host, port }: Place, listening: () => void): this {
    this.#place = { host, port };
    if (this.#tls.listen(this, `${host}:${port}`)) process.nextTick(listening);
    else {
      const error = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' });
      process.nextTick(() => this.emit('error', error));
    }
    return this;
  }

  address(): { address: string; port: number; family: string } {
    return { address: this.#place.host, port: this.#place.port, family: 'IPv4' };
  }

  unref(): this {
    return this;
  }

  setSecureContext(): void {}

  enter(socket: VirtualSocket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#endIfDone();
    });
  }

  close(closed: () => void): this {
    this.#tls.unlisten(this);
    this.#onClosed = closed;
    this.#endIfDone();
    return this;
  }

  #endIfDone(): void {
    if (this.#onClosed === null || this.#open.size > 0) return;
    process.nextTick(this.#onClosed);
    this.#onClosed = null;
  }
}

class VirtualCertificate {
  readonly subject: string;
  readonly issuer = 'CN=virtual authority';
  readonly subjectAltName: string;
  readonly fingerprint256: string;
  readonly validFrom = 'Jan  1 00:00:00 2020 GMT';
  readonly validTo = 'Jan  1 00:00:00 2120 GMT';

  constructor(pem: string | Buffer) {
    const name = nameIn(pem);
    this.subject = `CN=${name}`;
    this.subjectAltName = `DNS:${name}`;
    this.fingerprint256 = createHash('sha256').update(name).digest('hex').toUpperCase();
  }
}
