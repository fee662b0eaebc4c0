/** Who the peer is, as its verified certificate says. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { cleanText } from './clean-text.js';

export interface PeerIdentity {
  /** `CN=storage-7, O=Example`. */
  readonly subject: string;
  /** `DNS:localhost`, `IP:127.0.0.1`, `URI:spiffe://…`. */
  readonly sans: readonly string[];
  /** SHA-256 of the certificate, upper-case hex with colons. */
  readonly fingerprint256: string;
}

const MAX_NAME_CHARS = 256;

/** `null` unless the peer showed a certificate and it was verified. */
export function peerIdentity(socket: TLSSocket): PeerIdentity | null {
  if (!socket.authorized) return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  return {
    subject: distinguishedName(certificate.subject),
    sans: subjectAltNames(certificate).map((name) => cleanText(name, MAX_NAME_CHARS)),
    fingerprint256: certificate.fingerprint256,
  };
}

/** Node writes one attribute a line; one line reads better in a message. */
export const distinguishedName = (lines: string | undefined): string =>
  cleanText((lines ?? '').replaceAll('\n', ', '), MAX_NAME_CHARS);

/** `TYPE:value` or, where the value holds a separator, `TYPE:"value as a JSON string"`. */
const ALT_NAME = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;

/** The alternative names as `DNS:…`, `IP:…`, `URI:…`; empty when the certificate has none. */
export function subjectAltNames(certificate: X509Certificate): string[] {
  const names: string[] = [];
  for (const [, type = '', value = ''] of (certificate.subjectAltName ?? '').matchAll(ALT_NAME)) {
    names.push(`${type === 'IP Address' ? 'IP' : type}:${value.startsWith('"') ? unquote(value) : value}`);
  }
  return names;
}

function unquote(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}
