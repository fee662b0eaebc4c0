/**
 * Puts the subcommands together and ends the process: 0 = all well, 1 = something failed and standard error says what
 * in one line, 2 = wrong usage, 128 + its number = a signal cut off the work.
 */
import { type Command, CommanderError } from 'commander';
import { benchCommand } from './bench.js';
import { certsCommand } from './certs.js';
import { cmProbeCommand } from './cm-probe.js';
import { completionCommand } from './completion.js';
import { connectCommand } from './connect.js';
import { cpCommand } from './cp.js';
import { demoCommand } from './demo.js';
import { devicesCommand } from './devices.js';
import { doctorCommand } from './doctor.js';
import { ExitCode, endProcess, reportFailure } from './failure.js';
import { nvmeCommand } from './nvme.js';
import { createOutput, type Output } from './output.js';
import { packageVersion } from './package-root.js';
import { perftestCommand } from './perftest.js';
import { pingpongCommand } from './pingpong.js';
import { ProgramCommand } from './program-command.js';
import { proxyCommand } from './proxy.js';
import { rpingCommand } from './rping.js';
import { serveCommand } from './serve.js';
import { onOutputError } from './shutdown.js';
import { statsCommand } from './stats.js';
import { WrongArguments } from './wrong-arguments.js';

const EXAMPLES = `
Examples:
  $ queuepair demo                              see all of it in a few seconds
  $ queuepair serve                             a server on 127.0.0.1:4433, with development certificates
  $ queuepair connect 127.0.0.1                 a client, in another terminal: type help
  $ queuepair connect 127.0.0.1 --exec "send hi; write abc; read; quit"

Exit codes: 0 all well, 1 failed (standard error says why), 2 wrong usage,
130 and 143 when SIGINT or SIGTERM cut off what was asked for.`;

/** Runs the program with the arguments after its name, and ends the process. */
export async function run(args: readonly string[]): Promise<never> {
  process.stdout.on('error', onOutputError);
  process.exitCode = ExitCode.OK;
  const program = createProgram();
  let topic = program.topic;
  program.hook('preAction', (_, command) => {
    topic = (command as ProgramCommand).topic;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = exitCodeOf(error, topic, createOutput(wantsJson(args)));
  }
  return await endProcess();
}

/** All of its commands. */
export function createProgram(): ProgramCommand {
  const program = new ProgramCommand('queuepair')
    .description('Secure RDMA for Node.js: queue pairs over any UDP network, sessions over mutual TLS 1.3.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'explain the program, or a command after its name')
    .helpCommand('help [command]', 'explain a command')
    .addHelpText('after', EXAMPLES);
  for (const command of [
    demoCommand(),
    serveCommand(),
    connectCommand(),
    devicesCommand(),
    certsCommand(),
    pingpongCommand(),
    perftestCommand(),
    rpingCommand(),
    cmProbeCommand(),
    nvmeCommand(),
    proxyCommand(),
    cpCommand(),
    doctorCommand(),
    statsCommand(),
    completionCommand(() => program),
    benchCommand(),
  ]) {
    program.addCommand(command.helpOption('-h, --help', 'explain this command'));
  }
  endByException(program);
  return program;
}

/** Commander would end the process itself. */
function endByException(command: Command): void {
  command.exitOverride();
  for (const below of command.commands) endByException(below);
}

/** Whether a program reads along: the command that would know has failed, or was never found. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

/** `topic`: the command that ran, as it is typed. */
function exitCodeOf(error: unknown, topic: string, output: Output): number {
  // Help and version, and help instead of a command.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  return reportFailure(error instanceof WrongArguments ? error.in(topic) : error, output);
}
