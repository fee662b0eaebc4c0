/** `queuepair connect`: a client of `queuepair serve`, for people and for scripts. */
import type { Command } from 'commander';
import { connect } from '../connection/client/client.js';
import type { ConnectOptions } from '../connection/options/connect-options.js';
import type { Connection } from '../connection/program/connection.js';
import { DEFAULT_PORT } from '../connection/terms/options.js';
import { cleanText } from '../session/clean-text.js';
import { shownName } from '../session/peer-identity.js';
import { RdmaError } from '../verbs/errors.js';
import { type Target, targetsArgument } from './arguments.js';
import { withCertificateAdvice } from './certificate-advice.js';
import { clientCertificates } from './certificates.js';
import { ClientShell } from './client/client-shell.js';
import { type CommandSource, fixedCommands, typedCommands } from './client/command-source.js';
import { CLIENT_HELP, checkCommands, parseCommand } from './client/commands.js';
import { type ConnectionFlags, connectionOptionsOf, withConnectionFlags } from './connection-flags.js';
import { ExitCode, reportFailure } from './failure.js';
import { formatBytes, formatMillis } from './format.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { ServiceClient } from './service/message-service.js';
import { rounded } from './service.js';
import { firstSignal, signalExitCode, untilSignal } from './shutdown.js';
import { describeStep, STEP_TITLE_CHARS, STEP_TITLES } from './step-text.js';
import { WrongArguments } from './wrong-arguments.js';

const MAX_WELCOME_CHARS = 500;
/** For the orderly end after a signal. */
const CLOSE_LIMIT_MILLIS = 1000;

const EXAMPLES = `
Commands, typed at the prompt, piped in, or given with --exec:
${CLIENT_HELP.replace(/^/gm, '  ')}

The commands of --exec are read before it connects. From --exec or a pipe the first command that fails ends the program with exit code 1.

Examples:
  $ queuepair connect 127.0.0.1
  $ queuepair connect 127.0.0.1 --exec "send hi; write abc; read; quit"
  $ queuepair connect a.example,b.example:4434 --exec "send hi"     whichever of them takes it
  $ queuepair connect --srv _queuepair._tcp.example.com
  $ echo "write @photo.jpg; read > copy.jpg" | queuepair connect storage-7:4433 --ca ca.pem`;

interface ConnectFlags extends ConnectionFlags {
  readonly srv?: string;
  readonly exec?: string;
  readonly json?: boolean;
  readonly showPsn?: boolean;
}

type Place = Pick<ConnectOptions, 'host' | 'port' | 'hosts' | 'srv'>;

export function connectCommand(): Command {
  const command = new ProgramCommand('connect')
    .description('connect to a server and send, write and read')
    .argument(
      '[target]',
      'HOST, HOST:PORT or [IPV6]:PORT; the port is 4433 unless given; several with commas between',
      (text: string) => targetsArgument(text, DEFAULT_PORT),
    )
    .option(
      '--srv <name>',
      'in place of a target: the service whose servers DNS names, _queuepair._tcp.DOMAIN',
    );
  return withConnectionFlags(command, 'messages and memory')
    .option('--exec <commands>', 'carry these commands out, with ; between them, instead of reading them')
    .option('--show-psn', 'show packet sequence numbers; they are secrets, so never in production')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (targets: readonly Target[] | undefined, flags: ConnectFlags) => {
      const place = placeOf(targets, flags.srv);
      if (flags.exec !== undefined) checkCommands(flags.exec);
      process.exitCode = await runClient(place, flags, createOutput(flags.json === true));
    });
}

/** One server as such, so that its own error is told. */
function placeOf(targets: readonly Target[] | undefined, srv: string | undefined): Place {
  if (srv !== undefined) {
    if (targets !== undefined)
      throw new WrongArguments('a target and --srv both say where the server is; give one of them');
    return { srv };
  }
  const [first] = targets ?? [];
  if (first === undefined || targets === undefined)
    throw new WrongArguments('connect needs a target, HOST or HOST:PORT, or --srv NAME');
  return targets.length === 1 ? first : { hosts: targets };
}

async function runClient(place: Place, flags: ConnectFlags, output: Output): Promise<number> {
  const signalled = firstSignal();
  let wasSignalled = false;
  void signalled.then(() => {
    wasSignalled = true;
  });
  const connection = await untilSignal(signalled, (signal) => open(place, flags, output, signal));
  if (typeof connection === 'number') return connection;
  const source = flags.exec === undefined ? typedCommands('queuepair> ') : fixedCommands(flags.exec);
  const talk = { isBusy: false };
  const interrupted = signalled.then(async (signal) => {
    // A person or a supervisor ends a client that rests like that; whoever has its commands cut off wants to know.
    const isCutOff = flags.exec !== undefined || talk.isBusy;
    source.close();
    await closeSoon(connection);
    return isCutOff ? signalExitCode(signal) : ExitCode.OK;
  });
  // What the end of the connection makes of the conversation is not what a signal means.
  const talked = converse(connection, source, output, talk).then((code) =>
    wasSignalled ? interrupted : code,
  );
  const exitCode = await Promise.race([interrupted, talked]);
  source.close();
  await connection.close();
  output.event({ event: 'closed', ...connection.statistics });
  return exitCode;
}

/** In order if the server is there, else not waiting for it to come back. */
async function closeSoon(connection: Connection): Promise<void> {
  const impatient = setTimeout(
    () => connection.abort(new RdmaError('ERR_RDMA_ABORTED', 'interrupted')),
    CLOSE_LIMIT_MILLIS,
  );
  await connection.close();
  clearTimeout(impatient);
}

async function open(
  place: Place,
  flags: ConnectFlags,
  output: Output,
  signal: AbortSignal,
): Promise<Connection> {
  const { devDir, ...certificates } = await clientCertificates(flags);
  const { style } = output;
  return await withCertificateAdvice(devDir, () =>
    connect({
      ...place,
      ...certificates,
      ...connectionOptionsOf(flags),
      revealPsns: flags.showPsn === true,
      // The service never writes into its clients.
      bufferBytes: 0,
      signal,
      onStep({ name, atMillis, details }) {
        output.event({ event: 'step', step: name, atMillis: rounded(atMillis), details });
        const title = STEP_TITLES[name].padEnd(STEP_TITLE_CHARS);
        output.line(
          style.dim(`${`+${formatMillis(atMillis)}`.padStart(9)}  ${title}  ${describeStep(name, details)}`),
        );
      },
    }),
  );
}

/** Welcome, then command after command; returns the exit code. */
async function converse(
  connection: Connection,
  source: CommandSource,
  output: Output,
  talk: { isBusy: boolean },
): Promise<number> {
  const client = new ServiceClient(connection);
  try {
    const welcome = await client.welcome();
    const bufferBytes = connection.remoteBuffer?.length ?? 0;
    output.event({
      event: 'welcome',
      text: welcome,
      peer: connection.peer && shownName(connection.peer.subject),
      bufferBytes,
    });
    output.line(`server: ${output.style.green(cleanText(welcome, MAX_WELCOME_CHARS))}`);
    if (source.interactive) {
      output.line(
        `You may write and read ${formatBytes(bufferBytes)} of its memory. Type help for the commands.`,
      );
    }
  } catch (error) {
    return reportFailure(error, output);
  }
  const shell = new ClientShell(client, output);
  // Somebody who thinks about the next command should learn that the server is gone.
  const lost = connection.closed.then((error) => ({ error }));
  for (;;) {
    const next = await Promise.race([source.next(), lost]);
    if (typeof next === 'object') return tellEnd(next.error, output);
    if (next === undefined) return ExitCode.OK;
    try {
      talk.isBusy = true;
      if (!(await shell.run(parseCommand(next)))) return ExitCode.OK;
    } catch (error) {
      const exitCode = reportFailure(error, output);
      if (!source.interactive) return exitCode;
    } finally {
      talk.isBusy = false;
    }
  }
}

function tellEnd(error: RdmaError | undefined, output: Output): number {
  if (error !== undefined) return reportFailure(error, output);
  output.event({ event: 'server-quit' });
  output.line('\nthe server ended the connection in order');
  return ExitCode.OK;
}
