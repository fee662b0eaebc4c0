/** What a program says when it listens. */
import type { AdmissionLimits } from '../../session/connect-gate.js';
import type { ConnectionHandler } from '../program/handler.js';
import type { ClientRates } from '../rates/client-rates.js';
import type { Authorize } from '../terms/client-terms.js';
import type { CommonOptions } from '../terms/options.js';
import type { AuditListener } from './audit-record.js';
import type { PemSource } from './pem.js';

/** What `setCertificates` changes. */
export type ServerCertificates = Pick<ListenOptions, 'cert' | 'key' | 'clientCa' | 'pfx' | 'passphrase'>;

export interface ListenOptions extends CommonOptions {
  /** Address to listen on. Default 127.0.0.1: say so if others shall connect. */
  readonly host?: string;
  /** TCP port. Default 4433; 0 = any free one. */
  readonly port?: number;
  /**
   * A TCP socket that listens already, as a service manager hands it over (socket activation), in place of `port`. `host` is its
   * address then, by which the device is chosen. The server closes it.
   */
  readonly fd?: number;
  /** PEM: the server's certificate and key; or give `pfx`. */
  readonly cert?: PemSource;
  readonly key?: PemSource;
  /** Certificate and key in one, PKCS #12. */
  readonly pfx?: Uint8Array;
  /** What `key` or `pfx` is encrypted with. */
  readonly passphrase?: string;
  /** PEM: with it, clients must show a certificate that this authority signed. */
  readonly clientCa?: PemSource;
  /**
   * Worker threads that serve connections. Default 0: the thread that called `listen` does. With workers `handler` is a module and
   * `device` a name, because every worker opens one.
   */
  readonly workers?: number;
  /** Serves every client, where `listen` has no second argument: a function, or a module that exports one as its default. */
  readonly handler?: ConnectionHandler | URL;
  /** Clients at a time. Default 10. */
  readonly slots?: number;
  /** Decides from who a client is whether it gets in, and on which terms. Default: all are taken. */
  readonly authorize?: Authorize;
  /** Gets a record of everything that the server has to answer for. */
  readonly onAudit?: AuditListener;
  /** How many connections one address may have and make before anybody is authenticated. */
  readonly admission?: AdmissionLimits;
  /**
   * How much one identity may send and be sent, over all its connections and in all workers together: what its certificate stands for,
   * its address where there is none. Default: no bounds. `authorize` may say otherwise for a client.
   */
  readonly rates?: ClientRates;
}
