/**
 * The client side of control channels: connects, verifies the server (its authority, its name, its protocol), and
 * hands out a `ControlChannel`. There is no switch that turns verification off.
 */
import { X509Certificate } from 'node:crypto';
import { isIP, type LookupFunction } from 'node:net';
import { type ConnectionOptions, connect, type SecureContext, type TLSSocket } from 'node:tls';
import { RdmaError, usageError } from '../verbs/errors.js';
import { hostPort } from '../verbs/host-port.js';
import { type ClientCredentials, secureContextFor } from './client-credentials.js';
import { ControlChannel } from './control-channel.js';
import { DEFAULT_HANDSHAKE_DEADLINE_MILLIS, HandshakeDeadline } from './handshake-deadline.js';
import { distinguishedName, shownName } from './peer-identity.js';
import { closedBeforeTls, explainTlsError } from './tls-errors.js';
import { ALPN_PROTOCOL, requireExporter, speaksOurProtocol, TLS_LIMITS } from './tls-protocol.js';

export interface TlsClientOptions extends ClientCredentials {
  /** Name or address to connect to; the server's certificate must name it, unless `servername` is given. */
  readonly host: string;
  readonly port: number;
  /** The name that the server's certificate must hold, where it is not `host`. */
  readonly servername?: string;
  /** Where `host` is, as an address, when that is known. */
  readonly address?: string;
  /** How `host` is looked up, where not as the system does. */
  readonly lookup?: LookupFunction;
  /** From now until `handshakeDone()`. Default 5000. */
  readonly handshakeDeadlineMillis?: number;
  readonly signal?: AbortSignal;
  /** The server took our certificate before: when it leaves without a word, the network is to blame. */
  readonly wasAccepted?: boolean;
}

/**
 * Resolves when TLS is up. In TLS 1.3 that is before the server has looked at our certificate: a server that refuses
 * it shows in the channel's first `receive()`.
 *
 * @throws RdmaError ERR_RDMA_TLS, ERR_RDMA_TIMEOUT, ERR_RDMA_CONNECTION_LOST (also when nothing listens),
 *   ERR_RDMA_CERTIFICATE if our own certificate or authority is unusable, ERR_RDMA_LIMIT for want of descriptors,
 *   ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_ABORTED.
 */
export async function connectTls(options: TlsClientOptions): Promise<ControlChannel> {
  const target = `the server ${hostPort(options.host, options.port)}`;
  const totalMillis = options.handshakeDeadlineMillis ?? DEFAULT_HANDSHAKE_DEADLINE_MILLIS;
  // Node checks this too, but only when it has a socket, which it then leaves behind.
  if (!Number.isInteger(options.port) || options.port < 1 || options.port > 0xffff) {
    throw usageError(`a port to connect to is 1 to 65535, not ${options.port}`);
  }
  if (options.signal?.aborted) throw aborted(target, options.signal);
  requireExporter();
  const socket = open(options);
  return await new Promise((resolve, reject) => {
    let isTcpUp = false;
    const deadline = new HandshakeDeadline(totalMillis, () =>
      settle(isTcpUp ? tooSlow(target, totalMillis) : noAnswer(target, totalMillis)),
    );
    const onAbort = (): void => settle(aborted(target, options.signal));
    // TCP is up, and the server has not said hello: that is what keys come of, which nobody looks at here.
    let isUnanswered = false;
    const onConnect = (): void => {
      isTcpUp = true;
      isUnanswered = true;
    };
    const onHello = (): void => {
      isUnanswered = false;
    };
    const onError = (error: Error): void => {
      const explained = explainTlsError(error, target);
      const isClosed = isUnanswered && explained.code === 'ERR_RDMA_CONNECTION_LOST';
      settle(isClosed ? closedBeforeTls(target, error) : explained);
    };
    const onClose = (): void =>
      settle(new RdmaError('ERR_RDMA_CONNECTION_LOST', `${target} hung up during TLS`));
    const settle = (failure: RdmaError | undefined): void => {
      options.signal?.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      socket.off('keylog', onHello);
      if (failure === undefined) {
        socket.off('error', onError);
        resolve(
          new ControlChannel(socket, {
            role: 'client',
            deadline,
            ...silentEndOf(target, options.wasAccepted === true ? undefined : options.cert),
          }),
        );
        return;
      }
      deadline.disarm();
      socket.destroy();
      reject(failure);
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', onConnect);
    socket.once('keylog', onHello);
    socket.on('error', onError);
    socket.once('close', onClose);
    socket.once('secureConnect', () => settle(verdict(socket, target)));
  });
}

function open(options: TlsClientOptions): TLSSocket {
  const { host, port, servername, address, lookup } = options;
  const settings: ConnectionOptions = {
    secureContext: contextOf(options),
    ALPNProtocols: [...TLS_LIMITS.ALPNProtocols],
    host: address ?? host,
    port,
    ...(lookup === undefined ? {} : { lookup }),
    rejectUnauthorized: true,
    // Server Name Indication takes names only; an address is verified from `host`.
    ...(servername !== undefined ? { servername } : isIP(host) === 0 ? { servername: host } : {}),
  };
  return connect(settings);
}

function contextOf(credentials: ClientCredentials): SecureContext {
  try {
    return secureContextFor(credentials);
  } catch (cause) {
    throw unusable(cause);
  }
}

function verdict(socket: TLSSocket, target: string): RdmaError | undefined {
  if (!socket.authorized)
    return new RdmaError('ERR_RDMA_TLS', `the certificate of ${target} was not verified`, {
      refusal: 'certificate',
    });
  if (speaksOurProtocol(socket)) return undefined;
  return new RdmaError('ERR_RDMA_TLS', `${target} does not speak ${ALPN_PROTOCOL} (ALPN)`, {
    refusal: 'no-tls',
  });
}

/**
 * Node's server closes the connection without an alert when it does not accept a certificate. All that the client sees
 * is a server that leaves before its first frame, so say what that means, with what the server saw.
 */
function silentEndOf(target: string, cert: string | undefined): { silentEnd?: () => RdmaError } {
  if (cert === undefined) return {};
  return {
    silentEnd: () =>
      new RdmaError(
        'ERR_RDMA_TLS',
        `${target} closed the connection right after TLS, as a server does that refused our certificate: ` +
          `${describeCertificate(cert)}; the server's log says why`,
        { refusal: 'certificate' },
      ),
  };
}

function describeCertificate(pem: string): string {
  const certificate = new X509Certificate(pem);
  const until = Date.parse(certificate.validTo) < Date.now() ? 'expired since' : 'valid until';
  const subject = shownName(distinguishedName(certificate.subject));
  return `${subject}, signed by ${shownName(distinguishedName(certificate.issuer))}, ${until} ${certificate.validTo}`;
}

function unusable(cause: unknown): RdmaError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new RdmaError('ERR_RDMA_CERTIFICATE', `cannot use our certificate, key or authority: ${detail}`, {
    cause,
  });
}

const tooSlow = (target: string, totalMillis: number): RdmaError =>
  new RdmaError('ERR_RDMA_TIMEOUT', `${target} did not finish TLS within ${totalMillis} ms`);

/** A port that nothing listens on refuses, so that nothing at all came back means something else. */
const noAnswer = (target: string, totalMillis: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_TIMEOUT',
    `${target} did not answer within ${totalMillis} ms, not even to refuse: a firewall drops TCP to that port, or no machine has that address`,
  );

const aborted = (target: string, signal: AbortSignal | undefined): RdmaError =>
  new RdmaError('ERR_RDMA_ABORTED', `connecting to ${target} was aborted`, { cause: signal?.reason });
