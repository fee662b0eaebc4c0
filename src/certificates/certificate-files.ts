/**
 * Reads the certificates that an operator names, and says which file is unusable and why before any connection fails
 * for it.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { RdmaError } from '../verbs/errors.js';

/** Paths of PEM files. */
export interface CertificateFiles {
  /** Our certificate, then its intermediates. Needs `key`. */
  readonly cert?: string;
  /** Our private key, not encrypted. Needs `cert`. */
  readonly key?: string;
  /** The authorities that may sign the peer's certificate, for clients. */
  readonly ca?: string;
  /** The authorities that may sign clients' certificates, for servers (mutual TLS). */
  readonly clientCa?: string;
}

/** PEM texts; a field is there if its file was named. */
export interface LoadedCertificates {
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly caPem?: string;
  readonly clientCaPem?: string;
}

const MAX_FILE_BYTES = 1 << 20;
const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** @throws RdmaError ERR_RDMA_CERTIFICATE: the message names the file and what is wrong with it. */
export async function loadCertificateFiles(
  files: CertificateFiles,
  now: Date = new Date(),
): Promise<LoadedCertificates> {
  return {
    ...(await loadPair(files, now)),
    ...(files.ca === undefined ? {} : { caPem: await loadAuthorities(files.ca, now) }),
    ...(files.clientCa === undefined ? {} : { clientCaPem: await loadAuthorities(files.clientCa, now) }),
  };
}

async function loadPair(files: CertificateFiles, now: Date): Promise<LoadedCertificates> {
  const { cert, key } = files;
  if (cert === undefined && key === undefined) return {};
  if (cert === undefined) throw certificateError(`${key} is a key without a certificate; give both`);
  if (key === undefined) throw certificateError(`${cert} is a certificate without a key; give both`);
  const certPem = await readPem(cert);
  const [own] = parseCertificates(cert, certPem);
  const lapse = lapseOf(own, now);
  if (lapse !== undefined) throw certificateError(`${cert} ${lapse}`);
  const keyPem = await readPem(key);
  if (!own.checkPrivateKey(parseKey(key, keyPem))) {
    throw certificateError(`${key} is not the key of the certificate in ${cert}`);
  }
  return { certPem, keyPem };
}

/** A bundle may hold authorities that have expired, but not only such. */
async function loadAuthorities(path: string, now: Date): Promise<string> {
  const pem = await readPem(path);
  const [first, ...others] = parseCertificates(path, pem);
  const lapse = lapseOf(first, now);
  if (lapse !== undefined && others.every((other) => lapseOf(other, now) !== undefined)) {
    throw certificateError(`${path} ${lapse}`);
  }
  return pem;
}

async function readPem(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw certificateError(`${path} ${readFault(cause)}`, cause);
  }
  if (bytes.length > MAX_FILE_BYTES) throw certificateError(`${path} is larger than any PEM file`);
  return bytes.toString('utf8');
}

function readFault(cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'does not exist';
    case 'EACCES':
    case 'EPERM':
      return 'cannot be read: this user has no permission';
    case 'EISDIR':
      return 'cannot be read: it is a directory';
    default:
      return `cannot be read: ${(cause as Error).message}`;
  }
}

/** All certificates of a file; at least one. */
export function parseCertificates(path: string, pem: string): [X509Certificate, ...X509Certificate[]] {
  try {
    const [first, ...others] = (pem.match(CERTIFICATE_BLOCK) ?? []).map(
      (block) => new X509Certificate(block),
    );
    if (first !== undefined) return [first, ...others];
  } catch (cause) {
    throw certificateError(`${path} holds a damaged certificate`, cause);
  }
  throw certificateError(`${path} holds no PEM certificate (-----BEGIN CERTIFICATE-----)`);
}

export function parseKey(path: string, pem: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw certificateError(`${path} holds no PEM private key (-----BEGIN PRIVATE KEY-----)`);
  }
  if (pem.includes('ENCRYPTED')) {
    throw certificateError(`${path} is encrypted with a passphrase; give a key without one`);
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw certificateError(`${path} holds a damaged private key`, cause);
  }
}

export const hasExpired = (certificate: X509Certificate, now: Date): boolean =>
  Date.parse(certificate.validTo) <= now.getTime();

/** What is wrong with the certificate's dates at `now`, as the end of a sentence. */
function lapseOf(certificate: X509Certificate, now: Date): string | undefined {
  if (hasExpired(certificate, now)) {
    return `holds a certificate that expired on ${certificate.validTo}`;
  }
  if (Date.parse(certificate.validFrom) > now.getTime()) {
    return `holds a certificate that is not valid before ${certificate.validFrom}; is the clock right?`;
  }
  return undefined;
}

export const certificateError = (message: string, cause?: unknown): RdmaError =>
  new RdmaError('ERR_RDMA_CERTIFICATE', message, { cause });
