/**
 * Makes certificates: an authority, and server or client certificates that it signs. EC P-256, random serial numbers,
 * and no more rights than each needs. Used for development certificates and by tests; not a public authority.
 */
import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import type { Extension } from '@peculiar/x509';
import { x509Library } from './x509-library.js';

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING_ALGORITHM = { ...KEY_ALGORITHM, hash: 'SHA-256' } as const;
const SERIAL_BYTES = 16;

/** A certificate with its private key (PKCS #8), both PEM. */
export interface KeyedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface CertificateRequest extends Validity {
  readonly commonName: string;
  readonly use: 'server' | 'client';
  /** DNS names and IP addresses. */
  readonly names?: readonly string[];
  /** PEM: use this key rather than a new one. */
  readonly keyPem?: string;
}

export async function makeAuthority(commonName: string, validity: Validity): Promise<KeyedCertificate> {
  const x509 = x509Library();
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: [commonName] }],
    notBefore: validity.notBefore,
    notAfter: validity.notAfter,
    signingAlgorithm: SIGNING_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: pemText(certificate.toString('pem')), keyPem: await exportKey(keys.privateKey) };
}

export async function issueCertificate(
  authority: KeyedCertificate,
  request: CertificateRequest,
): Promise<KeyedCertificate> {
  const x509 = x509Library();
  const keys = request.keyPem === undefined ? await newKeys() : await importKeys(request.keyPem);
  const signer = await importKeys(authority.keyPem);
  const usage =
    request.use === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const extensions: Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage]),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
  ];
  const names = request.names ?? [];
  if (names.length > 0) {
    const general = names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }) as const);
    extensions.push(new x509.SubjectAlternativeNameExtension(general));
  }
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: [{ CN: [request.commonName] }],
    issuer: new x509.X509Certificate(authority.certPem).subjectName.toJSON(),
    notBefore: request.notBefore,
    notAfter: request.notAfter,
    signingAlgorithm: SIGNING_ALGORITHM,
    signingKey: signer.privateKey,
    publicKey: keys.publicKey,
    extensions,
  });
  return {
    certPem: pemText(certificate.toString('pem')),
    keyPem: request.keyPem ?? (await exportKey(keys.privateKey)),
  };
}

/** A serial number must be positive: the first bit is 0, and the first byte is not. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);

async function importKeys(pem: string): Promise<webcrypto.CryptoKeyPair> {
  const key = createPrivateKey(pem);
  const privateDer = key.export({ type: 'pkcs8', format: 'der' });
  const publicDer = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const { subtle } = webcrypto;
  return {
    privateKey: await subtle.importKey('pkcs8', privateDer, KEY_ALGORITHM, true, ['sign']),
    publicKey: await subtle.importKey('spki', publicDer, KEY_ALGORITHM, true, ['verify']),
  };
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

const pemText = (pem: string): string => `${pem.trim()}\n`;
