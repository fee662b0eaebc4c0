/** `queuepair serve`: runs the message service until a signal ends it. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { ClientRates } from '../connection/rates/client-rates.js';
import { DEFAULT_SLOTS, type Server } from '../connection/server/server.js';
import {
  DEFAULT_HANDSHAKE_DEADLINE_MILLIS,
  DEFAULT_PORT,
  DEFAULT_RECOVERY_MILLIS,
} from '../connection/terms/options.js';
import type { HttpObserver } from '../observe/http-observer.js';
import { createLogger, LOG_LEVELS, type LogLevel } from '../observe/log.js';
import { usageError } from '../verbs/errors.js';
import {
  bytesArgument,
  countArgument,
  millisArgument,
  millisOrNeverArgument,
  portArgument,
} from './arguments.js';
import { auditTo } from './audit-file.js';
import { type ServerCertificateFlags, serverCertificates } from './certificates.js';
import { COPY_BUFFER_BYTES } from './copy/copy-link.js';
import { why } from './copy/place-error.js';
import { Share } from './copy/share.js';
import { ExitCode } from './failure.js';
import { createOutput } from './output.js';
import { type PathFlags, pathMtuOption, pathOptionsOf, peerAddressOption } from './path-flags.js';
import { ProgramCommand } from './program-command.js';
import { ServeNarrator } from './serve-narrator.js';
import { startService, stopService } from './service.js';
import type { ServiceEvent } from './service-events.js';
import { logServiceEvent } from './service-log.js';
import { ServiceManager } from './service-manager.js';
import { firstSignal, signalExitCode } from './shutdown.js';
import { WrongArguments } from './wrong-arguments.js';

const MAX_SLOTS = 65536;
const MAX_WORKERS = 1024;
const MAX_MESSAGE_RATE = 2 ** 30;
const TOKEN_BYTES = 24;
const DEFAULT_BUFFER_BYTES = 1024 * 1024;
/** The process ends by then, whatever clients do. */
const CLOSE_LIMIT_MILLIS = 1900;

const EXAMPLES = `
Every client is welcomed; its messages are echoed; what it writes by RDMA is hashed and acknowledged.

SIGHUP reads the certificates again, for clients that connect from then on.

As a service of systemd it takes the socket that is handed over (give its address as --host), and says when it is ready.

Examples:
  $ queuepair serve
  $ queuepair serve --host 0.0.0.0 --cert server.pem --key server-key.pem --client-ca clients.pem
  $ queuepair serve --host 192.0.2.7 --share /srv/data --share-writable      for queuepair cp
  $ queuepair serve --device soft:127.0.0.1?port=0 --port 0 --json`;

interface ServeFlags extends ServerCertificateFlags, PathFlags {
  readonly host: string;
  readonly port: number;
  readonly device: string;
  readonly slots: number;
  readonly workers: number;
  readonly perAddress?: number;
  readonly perIdentity?: number;
  readonly rate?: number;
  readonly messageRate?: number;
  readonly handshakeTimeout: number;
  readonly buffer?: number;
  readonly share?: string;
  readonly shareWritable?: boolean;
  readonly maxMessage: number;
  readonly metrics?: number;
  readonly control?: string | true;
  readonly recovery: number;
  readonly encrypt?: boolean;
  readonly audit?: string;
  readonly showPsn?: boolean;
  readonly json?: boolean;
  readonly logLevel: LogLevel;
}

export function serveCommand(): Command {
  return new ProgramCommand('serve')
    .description('run a server: welcome, echo, and a buffer that clients write and read')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'TCP port; 0 = any free one', portArgument, DEFAULT_PORT)
    .option('--device <name>', 'RDMA device, shared by all clients (see: queuepair devices)', 'soft')
    .option('--slots <count>', 'clients at a time', countArgument(MAX_SLOTS), DEFAULT_SLOTS)
    .option(
      '--workers <count>',
      'worker threads that serve clients, each with a device of its own; 0: none',
      countArgument(MAX_WORKERS, 0),
      0,
    )
    .option('--per-address <count>', 'TCP connections that one address may have', countArgument(MAX_SLOTS))
    .option(
      '--per-identity <count>',
      'connections that one client certificate may have',
      countArgument(MAX_SLOTS),
    )
    .addOption(
      new Option('--rate <bytes>', 'a second that one identity may send, and be sent, at most').argParser(
        bytesArgument,
      ),
    )
    .option(
      '--message-rate <count>',
      'messages a second that one identity may send, and be sent, at most',
      countArgument(MAX_MESSAGE_RATE),
    )
    .option('--cert <file>', "the server's certificate, PEM (default: a development one)")
    .option('--key <file>', 'its private key, PEM')
    .option('--client-ca <file>', 'authority that must have signed the certificates of clients, PEM')
    .option('--dev-certs <dir>', 'where the development certificates are kept')
    .option(
      '--handshake-timeout <ms>',
      'from the TCP connection until a client is ready',
      millisArgument,
      DEFAULT_HANDSHAKE_DEADLINE_MILLIS,
    )
    .addOption(
      new Option(
        '--buffer <bytes>',
        "each client's RDMA buffer (default: 1MiB, with --share 8MiB)",
      ).argParser(bytesArgument),
    )
    .addOption(
      new Option('--max-message <bytes>', 'longest message that is accepted')
        .argParser(bytesArgument)
        .default(16 * 1024 * 1024, '16MiB'),
    )
    .option('--share <dir>', 'let clients copy files from this directory (queuepair cp)')
    .option('--share-writable', 'and into it')
    .option(
      '--metrics <port>',
      'show a dashboard, and metrics for Prometheus, on this port of 127.0.0.1; 0 = any free one',
      portArgument,
    )
    .option(
      '--control [file]',
      'with --metrics: whoever has the token in this file may drain the server and disconnect clients; without a file it is made and printed',
    )
    .option(
      '--recovery <ms>',
      'how long a connection that failed tries to come back; 0 = not at all',
      millisOrNeverArgument,
      DEFAULT_RECOVERY_MILLIS,
    )
    .option('--encrypt', 'seal messages and memory (AES-256-GCM), whatever clients ask for')
    .addOption(peerAddressOption())
    .addOption(pathMtuOption())
    .option('--audit <file>', 'append who came, was refused and went to this file, a JSON record a line')
    .option('--show-psn', 'show packet sequence numbers; they are secrets, so never in production')
    .option('--json', 'one JSON object a line on standard output')
    .addOption(
      new Option('--log-level <level>', 'JSON log on standard error, without secrets')
        .choices(LOG_LEVELS)
        .default('silent'),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ServeFlags) => {
      process.exitCode = await serve(flags);
    });
}

async function serve(flags: ServeFlags): Promise<number> {
  const signalled = firstSignal(['SIGINT', 'SIGTERM']);
  const manager = new ServiceManager();
  const control = controlToken(flags);
  const output = createOutput(flags.json === true);
  const narrator = new ServeNarrator(output);
  const logger = createLogger({ level: flags.logLevel });
  const tell = (event: ServiceEvent): void => {
    if (output.json) output.event({ time: new Date().toISOString(), ...event });
    else narrator.tell(event);
    logServiceEvent(logger, event);
  };
  // What the server tells before everything is there that was asked for: nobody hears of a server that does not come to be.
  let early: ServiceEvent[] | null = null;
  const emit = (event: ServiceEvent): void => {
    if (early === null) tell(event);
    else early.push(event);
  };
  const share = await openShare(flags, emit);
  const { dev, ...certificates } = await serverCertificates(flags, flags);
  if (dev !== undefined) emit({ event: 'certificates', dir: dev.dir, created: dev.created });
  early = [];
  const server = await startService(
    {
      ...certificates,
      host: flags.host,
      ...(manager.fd === undefined ? { port: flags.port } : { fd: manager.fd }),
      device: flags.device,
      slots: flags.slots,
      workers: flags.workers,
      admission: {
        ...(flags.perAddress === undefined ? {} : { maxPerAddress: flags.perAddress }),
        ...(flags.perIdentity === undefined ? {} : { maxPerIdentity: flags.perIdentity }),
      },
      rates: ratesOf(flags),
      handshakeDeadlineMillis: flags.handshakeTimeout,
      bufferBytes: flags.buffer ?? (share === undefined ? DEFAULT_BUFFER_BYTES : COPY_BUFFER_BYTES),
      maxMessageBytes: flags.maxMessage,
      recoveryMillis: flags.recovery,
      path: pathOptionsOf(flags),
      ...(flags.encrypt === true ? { encryption: 'aes-256-gcm' } : {}),
      ...(flags.audit === undefined ? {} : { onAudit: auditTo(flags.audit) }),
      revealPsns: flags.showPsn === true,
    },
    emit,
    share === undefined ? {} : { share },
  );
  const observer = await observe(server, flags.metrics, control?.token);
  for (const event of early) tell(event);
  early = null;
  if (flags.share !== undefined)
    emit({ event: 'sharing', directory: resolve(flags.share), isWritable: flags.shareWritable === true });
  process.on('SIGHUP', () => void renewCertificates(server, flags, emit));
  if (observer !== undefined) {
    const made = control?.isMade === true ? { token: control.token } : {};
    emit({ event: 'observing', url: observer.url, ...made });
  }
  manager.ready(`serving ${server.address.host} port ${server.address.port}`);
  const signal = await signalled;
  manager.stopping();
  if (signal === 'SIGPIPE') process.stderr.write('queuepair: standard output was closed; the server ends\n');
  emit({ event: 'closing', signal });
  setTimeout(() => {
    process.stderr.write(`queuepair: not everything closed within ${CLOSE_LIMIT_MILLIS} ms\n`);
    process.exit(ExitCode.FAILED);
  }, CLOSE_LIMIT_MILLIS).unref();
  await observer?.close();
  const { leaked } = await stopService(server, emit);
  if (leaked > 0) return ExitCode.FAILED;
  return signal === 'SIGPIPE' ? signalExitCode(signal) : ExitCode.OK;
}

function ratesOf({ rate, messageRate }: ServeFlags): ClientRates {
  const both = {
    ...(rate === undefined ? {} : { bytesPerSecond: rate }),
    ...(messageRate === undefined ? {} : { messagesPerSecond: messageRate }),
  };
  return { fromClient: both, toClient: both };
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when it is no directory, or when anybody could come. */
async function openShare(flags: ServeFlags, emit: (event: ServiceEvent) => void): Promise<Share | undefined> {
  const { share, shareWritable, cert, clientCa, workers } = flags;
  if (share === undefined) {
    if (shareWritable === true)
      throw new WrongArguments('--share-writable has no effect without --share DIR');
    return undefined;
  }
  if (workers > 0) throw usageError('--share is served by the main thread: leave out --workers');
  if (cert !== undefined && clientCa === undefined) {
    throw new WrongArguments('--share is for clients that show a certificate: give --client-ca FILE');
  }
  try {
    return await Share.open(share, shareWritable === true, (report) => emit({ event: 'copy', ...report }));
  } catch (error) {
    throw usageError(why(error));
  }
}

/** Reads the certificates again; when they are unusable, the old ones stay in use. */
async function renewCertificates(
  server: Server,
  flags: ServeFlags,
  emit: (event: ServiceEvent) => void,
): Promise<void> {
  try {
    const { dev: _, ...certificates } = await serverCertificates(flags, { host: flags.host, port: 0 });
    server.setCertificates(certificates);
    emit({ event: 'certificates-renewed', error: null });
  } catch (error) {
    emit({ event: 'certificates-renewed', error: error instanceof Error ? error.message : String(error) });
  }
}

interface ControlToken {
  readonly token: string;
  readonly isMade: boolean;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a file that cannot be read, or whose token is too short. */
function controlToken({ control, metrics }: ServeFlags): ControlToken | undefined {
  if (control === undefined) return undefined;
  if (metrics === undefined)
    throw new WrongArguments('--control needs --metrics PORT: it is the dashboard that has the buttons');
  if (control === true) return { token: randomBytes(TOKEN_BYTES).toString('base64url'), isMade: true };
  try {
    return { token: readFileSync(control, 'utf8').trim(), isMade: false };
  } catch (cause) {
    throw usageError(`cannot read the token of --control: the file ${control} ${why(cause)}`);
  }
}

async function observe(
  server: Server,
  port: number | undefined,
  token: string | undefined,
): Promise<HttpObserver | undefined> {
  if (port === undefined) return undefined;
  try {
    // Servers that nobody observes need not load it.
    const observer = await import('../observe/http-observer.js');
    const options = token === undefined ? {} : { controlToken: token };
    return await observer.HttpObserver.start(server, port, options);
  } catch (error) {
    await server.close();
    throw error;
  }
}
