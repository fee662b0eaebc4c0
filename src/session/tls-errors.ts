/**
 * Sentences for what goes wrong in TLS. OpenSSL and Node name their failures by codes; here each code becomes what the
 * reader can act on, as seen by the side that reads it. Text of the peer is cleaned before it enters a message.
 */
import { RdmaError } from '../verbs/errors.js';
import type { RefusalKind } from '../verbs/refusal-kind.js';
import { cleanText } from './clean-text.js';
import { altNamesOf } from './peer-identity.js';
import { ALPN_PROTOCOL } from './tls-protocol.js';

/** What is wrong with a certificate that this side verified, by the code of the verification. */
const CERTIFICATE_FAULTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet (compare the clocks of both machines)',
  CERT_REVOKED: 'was revoked',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
  CERT_UNTRUSTED: 'is not trusted here',
  CERT_REJECTED: 'is rejected here',
  CERT_CHAIN_TOO_LONG: 'has too long a chain of authorities',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed and not among the trusted authorities',
  SELF_SIGNED_CERT_IN_CHAIN: 'was signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'was signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'was signed by an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'was signed by an authority that is not trusted here',
  INVALID_CA: 'was signed by a certificate that is not an authority',
  INVALID_PURPOSE: 'was not issued for this use',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'is missing',
};

/** What the peer's alert says about our certificate. */
const CERTIFICATE_ALERTS: Readonly<Record<string, string>> = {
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it is not a valid certificate',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'it was not issued for this use',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'it was revoked',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'it has expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'it is not acceptable there',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it was signed by an authority that is not trusted there',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'its owner has no access there',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'we showed none; give `cert` and `key`',
};

const NO_TLS13 = 'offers no TLS 1.3, which is required';
const NO_ALPN = `does not speak ${ALPN_PROTOCOL} (ALPN)`;
const NO_TLS = 'does not speak TLS';

/** A failure, as a word for programs and a sentence for people. */
export interface TlsFault {
  readonly kind: RefusalKind;
  readonly sentence: string;
}

/** What is wrong with the peer as such. */
const PEER_FAULTS: Readonly<Record<string, readonly [RefusalKind, string]>> = {
  ERR_SSL_UNSUPPORTED_PROTOCOL: ['tls-version', NO_TLS13],
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: ['tls-version', NO_TLS13],
  ERR_SSL_UNSUPPORTED_SSL_VERSION: ['tls-version', NO_TLS13],
  ERR_SSL_NO_APPLICATION_PROTOCOL: ['no-tls', NO_ALPN],
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: ['no-tls', NO_ALPN],
  ERR_SSL_WRONG_VERSION_NUMBER: ['no-tls', NO_TLS],
  ERR_SSL_HTTP_REQUEST: ['no-tls', NO_TLS],
  ERR_SSL_HTTPS_PROXY_REQUEST: ['no-tls', NO_TLS],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ['no-tls', NO_TLS],
  ERR_SSL_RECORD_LAYER_FAILURE: ['no-tls', NO_TLS],
  ERR_SSL_NO_SHARED_CIPHER: ['tls', 'shares no TLS cipher with us'],
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: ['tls', 'shares no TLS cipher with us'],
  ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR: ['tls', 'had an internal error in TLS'],
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: ['tls', 'could not verify our part of TLS'],
  ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: [
    'tls-broken',
    'sent a TLS record that was changed on the way',
  ],
  ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC: ['tls-broken', 'received a TLS record that was changed on the way'],
  ERR_SSL_UNEXPECTED_EOF_WHILE_READING: ['tls-broken', 'ended TCP in the middle of TLS'],
};

/** Failures below TLS. */
const SOCKET_FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection: nothing listens there',
  ECONNRESET: 'dropped the connection',
  EPIPE: 'dropped the connection',
  ETIMEDOUT: 'stopped answering',
  EHOSTUNREACH: 'cannot be reached: no route to its host',
  EHOSTDOWN: 'cannot be reached: its host is down',
  ENETUNREACH: 'cannot be reached: no route to its network',
  ENETDOWN: 'cannot be reached: the network of this machine is down',
  EADDRNOTAVAIL: 'cannot be reached: this machine has no address, or no port left, to connect from',
  ENOTFOUND: 'cannot be found: its name does not resolve',
  ENODATA: 'cannot be found: its name has no address',
  EAI_AGAIN: 'cannot be found: its name does not resolve now',
};

/** What goes behind the name of a peer, for a failure that any use of TCP may meet. */
export const socketFault = (error: Error): string | undefined => SOCKET_FAULTS[errorCode(error)];

/** What this side lacks, whoever the peer is. */
const OWN_FAULTS: Readonly<Record<string, string>> = {
  EMFILE: 'this process has no file descriptor left (ulimit -n)',
  ENFILE: 'this machine has no file descriptor left',
  ENOBUFS: 'this machine has no memory for another socket',
  ENOMEM: 'this machine has no memory for another socket',
};

/**
 * The error that a failure of the socket becomes, during TLS or after it. `peerName` is the subject of its sentence:
 * `the server 192.0.2.7:4433`.
 */
export function explainTlsError(error: Error, peerName: string): RdmaError {
  const code = errorCode(error);
  const fault = socketFault(error);
  if (fault !== undefined) {
    return new RdmaError('ERR_RDMA_CONNECTION_LOST', `${peerName} ${fault}`, { cause: error });
  }
  const ownFault = OWN_FAULTS[code];
  if (ownFault !== undefined) {
    return new RdmaError('ERR_RDMA_LIMIT', `cannot connect to ${peerName}: ${ownFault}`, { cause: error });
  }
  if (isOfSystem(error)) {
    const sentence = `${peerName} cannot be reached: ${cleanText(error.message, 256)}`;
    return new RdmaError('ERR_RDMA_CONNECTION_LOST', sentence, { cause: error });
  }
  const { kind, sentence } = tlsFault(error, code, peerName);
  return new RdmaError('ERR_RDMA_TLS', sentence, { cause: error, refusal: kind });
}

/**
 * The server closed the connection before it said hello. It cannot say why: before the handshake TLS has no words. A server
 * does that to more connections than it takes; one that does not like a certificate has sent its own part by then.
 */
export const closedBeforeTls = (peerName: string, cause?: unknown): RdmaError =>
  new RdmaError(
    'ERR_RDMA_CONNECTION_LOST',
    `${peerName} closed the connection before TLS began, as a server does that takes no more connections now, or no more ` +
      'from this address: try again later. It has not seen a certificate',
    { refusal: 'before-tls', cause },
  );

/** Why a server refused a client during TLS; `verifyCode` is Node's verdict about the client's certificate. */
export function refusalReason(error: Error, verifyCode: string | undefined): TlsFault {
  if (verifyCode !== undefined) return certificateFault('the client', verifyCode);
  const code = errorCode(error);
  if (code === 'ECONNRESET') {
    return { kind: 'left', sentence: 'the client hung up during TLS; it may not accept our certificate' };
  }
  const fault = socketFault(error);
  if (fault !== undefined) return { kind: 'left', sentence: `the client ${fault}` };
  return tlsFault(error, code, 'the client');
}

function tlsFault(error: Error, code: string, peerName: string): TlsFault {
  const alert = CERTIFICATE_ALERTS[code];
  if (alert !== undefined) {
    return { kind: 'certificate', sentence: `${peerName} refused our certificate: ${alert}` };
  }
  const peerFault = PEER_FAULTS[code];
  if (peerFault !== undefined) return { kind: peerFault[0], sentence: `${peerName} ${peerFault[1]}` };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = cleanText(heldNames(error), 256);
    return {
      kind: 'certificate',
      sentence: `the certificate of ${peerName} does not name that host: ${names}`,
    };
  }
  if (CERTIFICATE_FAULTS[code] !== undefined) return certificateFault(peerName, code);
  const sentence = `TLS with ${peerName} failed: ${cleanText(reasonOf(error), 256)} (${cleanText(code, 64)})`;
  return { kind: 'tls', sentence };
}

const certificateFault = (peerName: string, code: string): TlsFault => ({
  kind: 'certificate',
  sentence: `the certificate of ${peerName} ${CERTIFICATE_FAULTS[code] ?? `cannot be verified (${code})`}`,
});

/** The operating system says so, or a name server (`queryA`): TLS has not failed. */
const isOfSystem = (error: Error): boolean => typeof (error as NodeJS.ErrnoException).syscall === 'string';

/** Newer OpenSSL says `SSL/TLS alert` where older ones said `sslv3 alert`. */
function errorCode(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code.replace('_SSL/TLS_ALERT_', '_SSLV3_ALERT_') : 'no code';
}

/** What the certificate holds for, as `subjectAltNames` writes it; Node's own sentence where it says that it has no names. */
function heldNames(error: Error): string {
  const { host, cert } = error as Error & { host?: unknown; cert?: { readonly subjectaltname?: unknown } };
  const names = cert?.subjectaltname;
  if (typeof names !== 'string' || names === '') return reasonOf(error);
  return `${String(host)} is none of ${altNamesOf(names).join(', ')}`;
}

/** OpenSSL's short reason where there is one: its messages begin with thread numbers and file names. */
function reasonOf(error: Error): string {
  const { reason } = error as Error & { reason?: unknown };
  return typeof reason === 'string' ? reason : error.message;
}
