/** Certificates of a server that is attacked: those that it should take, and those that it should not. */
import {
  issueCertificate,
  type KeyedCertificate,
  makeAuthority,
} from '../../../src/certificates/certificate-maker.js';

const DAY_MILLIS = 86_400_000;

export interface Certificates {
  readonly caPem: string;
  readonly server: KeyedCertificate;
  readonly client: KeyedCertificate;
  readonly otherClient: KeyedCertificate;
  readonly expiredClient: KeyedCertificate;
  /** Signed by the right authority, for another name. */
  readonly otherServer: KeyedCertificate;
  /** Signed by an authority that nobody trusts. */
  readonly strangerServer: KeyedCertificate;
  readonly strangerClient: KeyedCertificate;
}

const days = (from: number, until: number) => ({
  notBefore: new Date(Date.now() + from * DAY_MILLIS),
  notAfter: new Date(Date.now() + until * DAY_MILLIS),
});

export async function makeCertificates(host: string): Promise<Certificates> {
  const ca = await makeAuthority('the authority', days(-100, 100));
  const stranger = await makeAuthority('an authority of nobody', days(-100, 100));
  const now = days(-1, 30);
  const server = { commonName: 'the server', use: 'server', names: [host], ...now } as const;
  const client = { commonName: 'an honest client', use: 'client', ...now } as const;
  return {
    caPem: ca.certPem,
    server: await issueCertificate(ca, server),
    client: await issueCertificate(ca, client),
    otherClient: await issueCertificate(ca, { ...client, commonName: 'another client' }),
    expiredClient: await issueCertificate(ca, { ...client, ...days(-30, -1) }),
    otherServer: await issueCertificate(ca, { ...server, names: ['elsewhere.example'] }),
    strangerServer: await issueCertificate(stranger, server),
    strangerClient: await issueCertificate(stranger, client),
  };
}
