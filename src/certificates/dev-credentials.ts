/** Development certificates as `listen` and `connect` take them, so that a program spreads them into its options. */
import { checkOptions, filled, type Rule, type Rules } from '../verbs/option-check.js';
import { loadOrCreateDevCertificates } from './dev-certificates.js';

export interface DevCertificatesOptions {
  /** Where they are kept. Default: this user's configuration directory. */
  readonly dir?: string;
  /** Further names and addresses of this host, for clients on other machines. */
  readonly names?: readonly string[];
}

export interface DevCredentials {
  /** For `listen`: clients must show a certificate of the same authority. */
  readonly server: { readonly cert: string; readonly key: string; readonly clientCa: string };
  /** For `connect`. */
  readonly client: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly dir: string;
  /** Whether this call made or renewed any of them. */
  readonly created: boolean;
}

const names: Rule = (value) =>
  Array.isArray(value) && value.every((name) => filled(name) === undefined)
    ? undefined
    : 'an array of names and addresses';
const RULES: Rules<DevCertificatesOptions> = { dir: filled, names };

/**
 * The development certificates of this user, made on first use and renewed when they lapse. The server's is valid for
 * localhost, 127.0.0.1, ::1, this host's name and `names`. Whoever can read the directory can pose as either side: not
 * for production.
 *
 * @throws RdmaError ERR_RDMA_CERTIFICATE if the directory holds something else or cannot be written,
 *   ERR_RDMA_INVALID_ARGUMENT.
 */
export async function devCertificates(options: DevCertificatesOptions = {}): Promise<DevCredentials> {
  check(options);
  const { caPem, server, client, dir, created } = await loadOrCreateDevCertificates(
    options.dir,
    options.names,
  );
  return {
    server: { cert: server.certPem, key: server.keyPem, clientCa: caPem },
    client: { ca: caPem, cert: client.certPem, key: client.keyPem },
    dir,
    created,
  };
}

function check(options: unknown): void {
  checkOptions('devCertificates', options, RULES);
}
