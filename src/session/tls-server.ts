/**
 * The server side of control channels: listens, does TLS 1.3, and hands out a `ControlChannel` for each peer that
 * speaks our protocol and, with `clientCa`, showed a certificate that this authority signed.
 *
 * Invariants: nothing is handed out before the peer is authenticated; a connection in TLS costs one socket, until its
 * deadline at most, and there are never more than `maxHandshakes` of them: when full, the oldest gives way, so that
 * a flood of silent peers cannot lock out one that gets through TLS in a few milliseconds. One address has no more
 * connections, and makes no more new ones a second, than it is allowed (connect-gate.ts). No session is resumed.
 */
import { constants } from 'node:crypto';
import { type AddressInfo, isIP, type Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { internalError, RdmaError, usageError } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';
import { type AdmissionLimits, admissionLimits, ConnectGate } from './connect-gate.js';
import { ControlChannel } from './control-channel.js';
import { DEFAULT_HANDSHAKE_DEADLINE_MILLIS, HandshakeDeadline } from './handshake-deadline.js';
import { listenFault } from './listen-fault.js';
import { refusalReason, type TlsFault } from './tls-errors.js';
import { ALPN_PROTOCOL, requireExporter, speaksOurProtocol, TLS_LIMITS } from './tls-protocol.js';
import type { TlsRefusal } from './tls-refusal.js';

export interface TlsCertificates {
  /** PEM: the server's certificate, with intermediates if there are any. */
  readonly cert?: string;
  /** PEM. */
  readonly key?: string;
  /** PKCS #12, in place of both. */
  readonly pfx?: Uint8Array;
  /** What `key` or `pfx` is encrypted with. */
  readonly passphrase?: string;
  /** PEM: with it, clients must show a certificate that this authority signed (mutual TLS). */
  readonly clientCa?: string;
}

export interface TlsServerOptions extends TlsCertificates {
  /** From the TCP connection until `handshakeDone()`. Default 5000. */
  readonly handshakeDeadlineMillis?: number;
  /** How many connections there may be before anybody is authenticated. */
  readonly admission?: AdmissionLimits;
  /** Gets each channel. If it throws or rejects, the channel ends with that error. */
  readonly onChannel: (channel: ControlChannel) => void | Promise<void>;
  readonly onRefused?: (refusal: TlsRefusal) => void;
}

/** With `fd` the socket of that descriptor, which listens at `host`. */
export type TlsListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly host: string; readonly fd: number };

/** A TCP connection that is still in TLS. */
interface PendingHandshake {
  readonly raw: Socket;
  readonly address: string;
  readonly port: number;
  readonly deadline: HandshakeDeadline;
  /** Why we dropped it; otherwise the reason is what TLS reports. */
  verdict?: TlsFault;
}

const CLOSING: TlsFault = { kind: 'closing', sentence: 'the server is closing' };
const TOO_MANY: TlsFault = {
  kind: 'overload',
  sentence: 'too many TLS handshakes at once, and this one was the oldest',
};
const UNVERIFIED = 'the certificate of the client was not verified';
const NO_ALPN = `the client does not speak ${ALPN_PROTOCOL} (ALPN)`;

/** @throws RdmaError ERR_RDMA_CERTIFICATE if the certificate, key or authority is unusable. */
export const createTlsServer = (options: TlsServerOptions): TlsServer => new TlsServer(options);

export class TlsServer implements AsyncDisposable {
  readonly #options: TlsServerOptions;
  readonly #server: Server;
  readonly #limits: Required<AdmissionLimits>;
  readonly #gate: ConnectGate;
  readonly #channels = new Set<ControlChannel>();
  /** The oldest first. */
  readonly #pending = new Set<PendingHandshake>();
  readonly #pendingByRaw = new WeakMap<object, PendingHandshake>();
  #closing: Promise<void> | undefined;
  #isReferenced = true;

  constructor(options: TlsServerOptions) {
    this.#options = options;
    this.#limits = admissionLimits(options.admission);
    this.#gate = new ConnectGate(this.#limits);
    this.#server = createSecureServer(options);
    this.#server.on('connection', (raw: Socket) => this.#onConnection(raw));
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    this.#server.on('tlsClientError', (error, socket) => this.#onTlsError(error, socket));
  }

  /** Open channels. */
  get channels(): number {
    return this.#channels.size;
  }

  /** Connections in TLS. */
  get tlsHandshakes(): number {
    return this.#pending.size;
  }

  /**
   * Port 0 picks a free one.
   *
   * @throws RdmaError ERR_RDMA_ADDRESS if the address cannot be listened on, ERR_RDMA_INVALID_ARGUMENT for a socket that listens
   * elsewhere.
   */
  listen(address: TlsListenAddress): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void => reject(cannotListen(address, error));
      this.#server.once('error', refused);
      const listening = (): void => {
        this.#server.off('error', refused);
        const bound = this.#server.address();
        const fault = 'fd' in address ? handedOverFault(address.host, bound) : undefined;
        if (fault !== undefined) {
          this.#server.close();
          reject(fault);
          return;
        }
        // From here on an error means that one connection could not be accepted, say for want of descriptors.
        this.#server.on('error', (error) =>
          this.#report(
            '',
            0,
            { kind: 'overload', sentence: `cannot accept connections: ${error.message}` },
            error,
          ),
        );
        resolve(bound as AddressInfo);
      };
      try {
        const { backlog } = this.#limits;
        const at = 'fd' in address ? { fd: address.fd } : address;
        this.#server.listen({ ...at, backlog }, listening);
      } catch (error) {
        refused(error as Error);
      }
    });
  }

  /**
   * Takes another certificate, key and authority for all handshakes that begin from now on. Whether clients must show a
   * certificate cannot change while the server runs.
   *
   * @throws RdmaError ERR_RDMA_CERTIFICATE; the old ones stay in use then.
   */
  setCertificates(certificates: TlsCertificates): void {
    if ((certificates.clientCa === undefined) !== (this.#options.clientCa === undefined)) {
      const message =
        'a server that asks clients for certificates cannot stop doing so, nor begin; start another one';
      throw new RdmaError('ERR_RDMA_CERTIFICATE', message);
    }
    try {
      this.#server.setSecureContext(secureContextOptions(certificates));
    } catch (cause) {
      throw unusable(cause);
    }
  }

  /** Neither it nor what is in TLS keeps the process alive from now on; channels have an `unref` of their own. */
  unref(): void {
    this.#isReferenced = false;
    this.#server.unref();
    for (const { raw } of this.#pending) raw.unref();
  }

  /** Stops listening, drops what is in TLS, says `bye` on every channel, and resolves when all are gone. Idempotent. */
  close(reason?: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(reason: string | undefined): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const handshake of [...this.#pending]) this.#drop(handshake, CLOSING);
    await Promise.all([...this.#channels].map((channel) => channel.close(reason)));
    await stopped;
  }

  #onConnection(raw: Socket): void {
    // A peer that has reset the connection by now has no address any more.
    const address = raw.remoteAddress ?? '';
    const refusal = this.#gate.enter(address);
    if (!this.#isReferenced) raw.unref();
    if (refusal === undefined) this.#makeRoom();
    const totalMillis = this.#options.handshakeDeadlineMillis ?? DEFAULT_HANDSHAKE_DEADLINE_MILLIS;
    const deadline = new HandshakeDeadline(totalMillis, () =>
      this.#drop(handshake, {
        kind: 'timeout',
        sentence: `the client did not finish TLS within ${totalMillis} ms`,
      }),
    );
    const handshake: PendingHandshake = { raw, address, port: raw.remotePort ?? 0, deadline };
    this.#pending.add(handshake);
    this.#pendingByRaw.set(raw, handshake);
    // Not `once`, which makes three objects of it: a socket closes once.
    raw.on('close', () => {
      this.#gate.leave(address);
      this.#leave(handshake);
    });
    if (this.#closing !== undefined) this.#drop(handshake, CLOSING);
    else if (refusal !== undefined) this.#drop(handshake, { kind: 'overload', sentence: refusal });
  }

  #makeRoom(): void {
    for (const oldest of this.#pending) {
      if (this.#pending.size < this.#limits.maxHandshakes) break;
      this.#drop(oldest, TOO_MANY);
    }
  }

  #onSecure(socket: TLSSocket): void {
    const handshake = this.#handshakeOf(socket);
    if (handshake === undefined || handshake.verdict !== undefined || this.#closing !== undefined) {
      this.#destroy(socket, handshake);
      return;
    }
    // Node has refused unverified clients before; that it did is worth one more look.
    if (this.#options.clientCa !== undefined && !socket.authorized) {
      this.#drop(handshake, { kind: 'certificate', sentence: UNVERIFIED }, { socket });
      return;
    }
    if (!speaksOurProtocol(socket)) {
      this.#drop(handshake, { kind: 'no-tls', sentence: NO_ALPN }, { socket });
      return;
    }
    this.#pending.delete(handshake);
    const { deadline } = handshake;
    const channel = new ControlChannel(socket, { role: 'server', deadline, onGone: this.#onGone });
    this.#channels.add(channel);
    void this.#serve(channel);
  }

  readonly #onGone = (channel: ControlChannel): void => void this.#channels.delete(channel);

  async #serve(channel: ControlChannel): Promise<void> {
    try {
      await this.#options.onChannel(channel);
    } catch (error) {
      if (error instanceof RdmaError) channel.fail(error);
      else channel.fail(internalError('the channel handler failed', error), 'internal error of the server');
    }
  }

  #onTlsError(error: Error, socket: TLSSocket): void {
    const handshake = this.#handshakeOf(socket);
    const verifyCode = socket.authorizationError as unknown;
    const fault = refusalReason(error, typeof verifyCode === 'string' ? verifyCode : undefined);
    if (handshake !== undefined) {
      this.#drop(handshake, fault, { socket, cause: error });
      return;
    }
    this.#report('', 0, fault, error);
    this.#destroy(socket, handshake);
  }

  /**
   * Node keeps the TCP socket under a TLS socket in a field that is not documented. Without it the peer's address
   * leads to the handshake too, but not when the socket is gone: then the refusal is reported without an address.
   */
  #handshakeOf(socket: TLSSocket): PendingHandshake | undefined {
    const { _parent: raw } = socket as unknown as { readonly _parent?: unknown };
    const known = typeof raw === 'object' && raw !== null ? this.#pendingByRaw.get(raw) : undefined;
    if (known !== undefined) return known;
    const { remoteAddress: address, remotePort: port } = socket;
    return [...this.#pending].find((pending) => pending.address === address && pending.port === port);
  }

  /** `socket` is the TLS socket over the connection, where the caller has it. */
  #drop(
    handshake: PendingHandshake,
    fault: TlsFault,
    { socket, cause }: { readonly socket?: TLSSocket; readonly cause?: unknown } = {},
  ): void {
    if (socket !== undefined) this.#destroy(socket, handshake);
    else if (handshake.verdict === undefined) handshake.raw.destroy();
    this.#leave(handshake);
    if (handshake.verdict !== undefined) return;
    handshake.verdict = fault;
    this.#report(handshake.address, handshake.port, fault, cause);
  }

  /**
   * Destroys a TLS socket, unless the TCP socket under it was destroyed before: then it goes by itself, and Node 20
   * crashes (a segmentation fault) when both are destroyed in one tick while TLS still has something to write.
   */
  #destroy(socket: TLSSocket, handshake: PendingHandshake | undefined): void {
    socket.on('error', () => undefined);
    if (handshake?.verdict === undefined) socket.destroy();
  }

  #leave(handshake: PendingHandshake): void {
    // Once promoted to a channel, the deadline belongs to the channel.
    if (this.#pending.delete(handshake)) handshake.deadline.disarm();
  }

  #report(address: string, port: number, { kind, sentence }: TlsFault, cause?: unknown): void {
    this.#options.onRefused?.({
      address,
      port,
      kind,
      reason: sentence,
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

function createSecureServer(options: TlsServerOptions): Server {
  requireExporter();
  try {
    return createServer({
      ...secureContextOptions(options),
      ALPNProtocols: [...TLS_LIMITS.ALPNProtocols],
      ...(options.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
    });
  } catch (cause) {
    throw unusable(cause);
  }
}

function secureContextOptions({ cert, key, pfx, passphrase, clientCa }: TlsCertificates) {
  const { minVersion, maxVersion } = TLS_LIMITS;
  return {
    minVersion,
    maxVersion,
    cert,
    key,
    pfx: pfx === undefined ? undefined : Buffer.from(pfx),
    passphrase,
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function unusable(cause: unknown): RdmaError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new RdmaError('ERR_RDMA_CERTIFICATE', `cannot use the server's certificate and key: ${detail}`, {
    cause,
  });
}

/** Why `address` cannot be listened on. */
export function cannotListen(address: TlsListenAddress, cause: Error): RdmaError {
  const where = 'fd' in address ? `descriptor ${address.fd}` : hostPort(address.host, address.port);
  return new RdmaError('ERR_RDMA_ADDRESS', `cannot listen on ${where}: ${listenFault(cause)}`, { cause });
}

/** A device is at one address, and was chosen by `host`: a socket that listens elsewhere brings clients that cannot reach it. */
function handedOverFault(host: string, bound: AddressInfo | string | null): RdmaError | undefined {
  if (bound === null || typeof bound === 'string') return usageError('the socket of fd is none of TCP');
  const isSame =
    bound.address === host || isIP(host) === 0 || (isWildcard(host) && isWildcard(bound.address));
  if (isSame) return undefined;
  return usageError(
    `the socket of fd listens at ${bound.address}, and host says ${host}: give the same address, as the device is chosen by it`,
  );
}

const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';
