/** The flags that say who a client is and whom it trusts, for commands that connect to a server by a session. */
import type { Command } from 'commander';

/** Adds `--ca`, `--cert`, `--key` and `--dev-certs`: what `clientCertificates` takes. */
export const withClientCredentials = (command: Command): Command =>
  command
    .option(
      '--ca <file>',
      'authority that signed the certificate of the server, PEM (default: the development one)',
    )
    .option('--cert <file>', 'our certificate, PEM')
    .option('--key <file>', 'its private key, PEM')
    .option('--dev-certs <dir>', 'where the development certificates are kept');
