/** Texts that pass for certificates and keys where TLS is virtual: each holds one name. */
import { createHash } from 'node:crypto';

export const hostCertificate = (name: string): string =>
  `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
export const hostKey = (name: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${name}\n-----END PRIVATE KEY-----\n`;
export const nameIn = (pem: unknown): string => String(pem).split('\n')[1] ?? '';

export class VirtualCertificate {
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
