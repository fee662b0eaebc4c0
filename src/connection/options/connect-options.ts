/** What a program says when it connects. */
import type { SecureContext } from 'node:tls';
import type { CommonOptions } from '../terms/options.js';
import type { PemSource } from './pem.js';
import type { ServerAddress } from './server-address.js';
import type { ServiceResolver } from './service-records.js';

export interface ConnectOptions extends CommonOptions {
  /** Default 127.0.0.1. The server's certificate must name it, unless `servername` is given. */
  readonly host?: string;
  /** TCP port. Default 4433. With `hosts`: of those that name none. */
  readonly port?: number;
  /**
   * Several servers in place of `host`, each as `HOST`, `HOST:PORT`, `[IPV6]:PORT` or an object: by priority, then by chance
   * within the shares of their weights; those that failed lately after all others. The certificate of each must name it.
   */
  readonly hosts?: readonly (string | ServerAddress)[];
  /**
   * A service in place of `host`, whose servers DNS names: `_queuepair._tcp.example.com`. The certificate of each of them must name
   * `example.com`, unless `servername` is given: what DNS says is not trusted.
   */
  readonly srv?: string;
  /** Asked for `srv` and for the addresses of its servers, in place of what the system asks. */
  readonly resolver?: ServiceResolver;
  /** PEM: the authority that signed the server's certificate. Default: the public ones that Node trusts. */
  readonly ca?: PemSource;
  /** PEM: our certificate and key, for servers that ask for them; or give `pfx`. */
  readonly cert?: PemSource;
  readonly key?: PemSource;
  /** Certificate and key in one, PKCS #12. */
  readonly pfx?: Uint8Array;
  /** What `key` or `pfx` is encrypted with. */
  readonly passphrase?: string;
  /** What `tls.createSecureContext` made, in place of all of these. It must allow TLS 1.3. */
  readonly secureContext?: SecureContext;
  readonly servername?: string;
  /** Aborts connecting; a connection that is up goes on. `AbortSignal.timeout` bounds what connecting takes. */
  readonly signal?: AbortSignal;
}
