/** `queuepair/certificates`: certificates for development, made when they are needed and kept in a folder. */

export { defaultCertificateDir } from './certificates/dev-certificates.js';
export {
  type DevCertificatesOptions,
  type DevCredentials,
  devCertificates,
} from './certificates/dev-credentials.js';
