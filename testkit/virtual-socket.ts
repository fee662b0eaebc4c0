/** The end of a TLS connection in virtual time, as programs of node:tls see it, and on servers the TCP socket under it. */
import { createHmac } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import { hostCertificate, VirtualCertificate } from './virtual-certificate.js';
import type { Callback, Pipe } from './virtual-pipe.js';
import type { TcpConnection } from './virtual-tcp-connection.js';

export interface Place {
  readonly host: string;
  readonly port: number;
}

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

  getPeerCertificate(): { readonly raw?: Buffer; readonly fingerprint256?: string } {
    if (this.#peerName === null) return {};
    const raw = Buffer.from(hostCertificate(this.#peerName));
    return { raw, fingerprint256: new VirtualCertificate(raw).fingerprint256 };
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
