/**
 * `node:tls` in virtual time: servers and clients that meet in memory, over TCP connections that delay, stall in one
 * direction or both, are reset at both ends or at one, and come back. While it is installed, `tls.createServer` and
 * `tls.connect` make these, for modules that were imported before as well.
 *
 * What certificates are is not under test here: a client is the name that its `cert` holds, its host the one that its `ca`
 * holds (`hostCertificate`), and every server is trusted.
 */
import crypto from 'node:crypto';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import tls from 'node:tls';
import { replace } from './replace.js';
import { nameIn, VirtualCertificate } from './virtual-certificate.js';
import type { Place, VirtualSocket } from './virtual-socket.js';
import { TcpConnection } from './virtual-tcp-connection.js';
import type { VirtualTime } from './virtual-time.js';

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
    const connection: TcpConnection = new TcpConnection(
      this.time,
      { host: from, port: ++this.#lastPort },
      { host, port },
      ++this.#made,
      () => this.connections.delete(connection),
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

interface ConnectSettings {
  readonly host: string;
  readonly port: number;
  readonly secureContext: { readonly ca?: string; readonly cert?: string };
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
