/** The flags of the commands that are clients of a server by a session: which device, how the server is proven, how long, and sealed or not. */
import { type Command, Option } from 'commander';
import type { ConnectOptions } from '../connection/options/connect-options.js';
import { DEFAULT_HANDSHAKE_DEADLINE_MILLIS, DEFAULT_RECOVERY_MILLIS } from '../connection/terms/options.js';
import { millisArgument, millisOrNeverArgument } from './arguments.js';
import type { ClientCertificateFlags } from './certificates.js';
import { type PathFlags, pathMtuOption, pathOptionsOf, peerAddressOption } from './path-flags.js';

export interface ReachServerFlags extends ClientCertificateFlags, PathFlags {
  readonly device: string;
  readonly servername?: string;
  readonly timeout: number;
}

export interface ConnectionFlags extends ReachServerFlags {
  readonly recovery: number;
  readonly encrypt?: boolean;
}

/** What each client of a server takes; `timeout` is said where it means something else than to connect. */
export const withReachServerFlags = (command: Command, timeout = connectTimeoutOption()): Command =>
  withClientCredentials(command)
    .addOption(deviceOption())
    .addOption(servernameOption())
    .addOption(timeout)
    .addOption(peerAddressOption())
    .addOption(pathMtuOption());

/** And what those take that send something; `sealed` is what `--encrypt` seals. */
export const withConnectionFlags = (command: Command, sealed: string): Command =>
  withReachServerFlags(command)
    .option(
      '--recovery <ms>',
      'how long a connection that failed tries to come back; 0 = not at all',
      millisOrNeverArgument,
      DEFAULT_RECOVERY_MILLIS,
    )
    .option('--encrypt', `seal ${sealed} (AES-256-GCM), whatever the server asks for`);

const withClientCredentials = (command: Command): Command =>
  command
    .option(
      '--ca <file>',
      'authority that signed the certificate of the server, PEM (default: the development one)',
    )
    .option('--cert <file>', 'our certificate, PEM')
    .option('--key <file>', 'its private key, PEM')
    .option('--dev-certs <dir>', 'where the development certificates are kept');

const deviceOption = (): Option =>
  new Option('--device <name>', 'RDMA device (see: queuepair devices)').default('soft');

const servernameOption = (): Option =>
  new Option('--servername <name>', 'name that the certificate of the server must hold, if it is not HOST');

const connectTimeoutOption = (): Option =>
  new Option('--timeout <ms>', 'to connect')
    .argParser(millisArgument)
    .default(DEFAULT_HANDSHAKE_DEADLINE_MILLIS);

/** Options of `connect` for these flags, but for those that only some commands have. */
export const reachOptionsOf = (flags: ReachServerFlags) =>
  ({
    ...(flags.servername === undefined ? {} : { servername: flags.servername }),
    device: flags.device,
    handshakeDeadlineMillis: flags.timeout,
    path: pathOptionsOf(flags),
  }) satisfies ConnectOptions;

export const connectionOptionsOf = (flags: ConnectionFlags) =>
  ({
    ...reachOptionsOf(flags),
    recoveryMillis: flags.recovery,
    ...(flags.encrypt === true ? { encryption: 'aes-256-gcm' as const } : {}),
  }) satisfies ConnectOptions;
