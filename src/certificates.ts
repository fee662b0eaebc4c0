/** `queuepair/certificates`: certificates for development, made when they are needed and kept in a folder. */
export type { KeyedCertificate } from './certificates/certificate-maker.js';
export {
  type DevCertificates,
  defaultCertificateDir,
  loadOrCreateDevCertificates,
} from './certificates/dev-certificates.js';
