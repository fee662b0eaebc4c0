/**
 * Who the peer is, as its verified certificate says.
 *
 * Invariant: names are exactly those of the certificate, because decisions hang on them; text for people is made of them
 * by `shownName`. A server lets nobody in whose names would not look to people as they are (`hiddenName`).
 */
import { X509Certificate } from 'node:crypto';
import { isIPv6, SocketAddress } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { cleanText } from './clean-text.js';

export interface PeerIdentity {
  /** `CN=storage-7, O=Example`, exactly as the certificate has it. */
  readonly subject: string;
  /** `DNS:localhost`, `IP:127.0.0.1`, `URI:spiffe://…`; IPv6 in its canonical text. */
  readonly sans: readonly string[];
  /** SHA-256 of the certificate, upper-case hex with colons. */
  readonly fingerprint256: string;
}

const MAX_NAME_CHARS = 256;

/** Certificates that came lately: thousands of connections of one client share its names. */
const known = new Map<string, PeerIdentity>();
const MOST_KNOWN = 1024;

/** `null` unless the peer showed a certificate and it was verified. */
export function peerIdentity(socket: TLSSocket): PeerIdentity | null {
  if (!socket.authorized) return null;
  // Not `getPeerX509Certificate`: Node 20 never frees the certificate that it gives.
  const { fingerprint256, raw } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  if (fingerprint256 === undefined || raw === undefined) return null;
  const identity = known.get(fingerprint256) ?? identityOf(new X509Certificate(raw));
  // The latest is the last.
  known.delete(fingerprint256);
  known.set(fingerprint256, identity);
  const [oldest] = known.keys();
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  return identity;
}

const identityOf = (certificate: X509Certificate): PeerIdentity => ({
  subject: distinguishedName(certificate.subject),
  sans: subjectAltNames(certificate),
  fingerprint256: certificate.fingerprint256,
});

/** A name as people may see it. */
export const shownName = (name: string): string => cleanText(name, MAX_NAME_CHARS);

/** An identity as people may see it, for logs and audits. */
export const shownIdentity = (peer: PeerIdentity | null): PeerIdentity | null =>
  peer && { ...peer, subject: shownName(peer.subject), sans: peer.sans.map(shownName) };

/**
 * The first name that people would see otherwise than it is, as they would see it: it holds characters that are
 * invisible or blank, or is too long.
 */
export function hiddenName({ subject, sans }: PeerIdentity): string | undefined {
  const hidden = [subject, ...sans].find((name) => shownName(name) !== name);
  return hidden === undefined ? undefined : shownName(hidden);
}

/** Node writes one attribute a line, and line breaks inside of a value as `\0A`. */
export const distinguishedName = (lines: string | undefined): string => (lines ?? '').replaceAll('\n', ', ');

/** `TYPE:value` or, where the value holds a separator, `TYPE:"value as a JSON string"`. */
const ALT_NAME = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;

/** The alternative names as `DNS:…`, `IP:…`, `URI:…`; empty when the certificate has none. */
export const subjectAltNames = (certificate: X509Certificate): string[] =>
  altNamesOf(certificate.subjectAltName ?? '');

/** The same of the text in which Node has them. */
export function altNamesOf(text: string): string[] {
  const names: string[] = [];
  for (const [, type = '', value = ''] of text.matchAll(ALT_NAME)) {
    const exact = value.startsWith('"') ? unquote(value) : value;
    names.push(type === 'IP Address' ? `IP:${canonicalAddress(exact)}` : `${type}:${exact}`);
  }
  return names;
}

const canonicalAddress = (address: string): string =>
  isIPv6(address) ? new SocketAddress({ address, family: 'ipv6' }).address : address;

function unquote(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}
