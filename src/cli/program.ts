/**
 * Puts the subcommands together and ends the process: 0 = all well, 1 = something failed and standard error says what
 * in one line, 2 = wrong usage, 128 + its number = a signal cut off the work.
 */
import { Command, CommanderError } from 'commander';
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
import { proxyCommand } from './proxy.js';
import { rpingCommand } from './rping.js';
import { serveCommand } from './serve.js';
import { onOutputError } from './shutdown.js';
import { statsCommand } from './stats.js';

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
  try {
    await createProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    const output = createOutput(wantsJson(args));
    process.exitCode =
      error instanceof CommanderError ? usageExitCode(error, output) : reportFailure(error, output);
  }
  return await endProcess();
}

function createProgram(): Command {
  const program = new Command('queuepair')
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
  endByException(program, '');
  return program;
}

/** Commander would end the process itself. `topic`: the names on the way to the command. */
function endByException(command: Command, topic: string): void {
  command.exitOverride().showHelpAfterError(`(try: queuepair ${topic}--help)`);
  for (const below of command.commands) endByException(below, `${topic}${below.name()} `);
}

/** Whether a program reads along: the command that would know has failed, or was never found. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

/** Help and version were asked for; the rest is wrong usage, which commander has explained on standard error. */
function usageExitCode(error: CommanderError, output: Output): number {
  if (error.exitCode === 0) return ExitCode.OK;
  output.event({ event: 'error', code: 'ERR_USAGE', message: error.message.replace(/^error: /, '') });
  return ExitCode.USAGE;
}
