/** `queuepair doctor`: finds out why RDMA does not work here, or towards a server, and says what to do. */
import { type Command, Option } from 'commander';
import type { ConnectOptions } from '../connection/options/connect-options.js';
import { DEFAULT_PORT } from '../connection/terms/options.js';
import { RdmaError } from '../verbs/errors.js';
import { millisArgument, type Target, targetArgument } from './arguments.js';
import { clientCertificates } from './certificates.js';
import { type ReachServerFlags, reachOptionsOf, withReachServerFlags } from './connection-flags.js';
import { checkCertificates, checkClock } from './doctor/certificate-checks.js';
import { type Finding, problem } from './doctor/finding.js';
import { checkAddon, checkDevice, checkLibrary, checkMemlock, kindsHere } from './doctor/machine-checks.js';
import { checkPeer } from './doctor/peer-checks.js';
import { ExitCode } from './failure.js';
import { nearOf } from './local-address.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';

const DEFAULT_TIMEOUT_MILLIS = 5000;
const RNIC_KIND = 'ibverbs';
const CHECK_CHARS = 12;

const EXAMPLES = `
Without HOST it looks at this machine: addon, libibverbs, locked memory, device and GIDs, clock, certificates. With HOST, where
\`queuepair serve\` or another server of this package runs, also at the way there: name, route, TCP, certificates of both sides, and UDP in
both directions, with small and with full packets.

Examples:
  $ queuepair doctor
  $ queuepair doctor 192.0.2.7
  $ queuepair doctor storage-7:4433 --ca ca.pem --cert c.pem --key c-key.pem --json

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is.`;

interface DoctorFlags extends ReachServerFlags {
  readonly json?: boolean;
}

export function doctorCommand(): Command {
  const command = new ProgramCommand('doctor')
    .description('find out why RDMA does not work here, or towards a server')
    .argument('[target]', 'server to look at the way to, HOST or HOST:PORT', (text: string) =>
      targetArgument(text, DEFAULT_PORT),
    );
  const timeout = new Option('--timeout <ms>', 'for each step of the way to the server')
    .argParser(millisArgument)
    .default(DEFAULT_TIMEOUT_MILLIS);
  return withReachServerFlags(command, timeout)
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (target: Target | undefined, flags: DoctorFlags) => {
      process.exitCode = await examine(target, flags, createOutput(flags.json === true));
    });
}

async function examine(target: Target | undefined, flags: DoctorFlags, output: Output): Promise<number> {
  const counts = { problems: 0, warnings: 0 };
  const tell = (finding: Finding): void => {
    if (finding.level === 'problem') counts.problems++;
    if (finding.level === 'warning') counts.warnings++;
    tellFinding(finding, output);
  };
  tell(checkAddon());
  const kinds = await kindsHere();
  tell(await checkLibrary(kinds));
  const rnics = kinds.find(({ kind }) => kind === RNIC_KIND)?.names ?? [];
  tell(await checkMemlock(rnics.length > 0));
  const { near } = await nearOf(target?.host);
  for (const finding of await checkDevice(flags.device, near)) tell(finding);
  const now = Date.now();
  tell(checkClock(now));
  const certificates = await checkCertificates(flags, now);
  for (const finding of certificates) tell(finding);
  if (target !== undefined) for (const finding of await towards(target, flags)) tell(finding);
  output.event({ event: 'summary', ...counts });
  output.line();
  output.line(verdict(counts, target, output));
  return counts.problems === 0 ? ExitCode.OK : ExitCode.FAILED;
}

async function towards(target: Target, flags: DoctorFlags): Promise<Finding[]> {
  let options: ConnectOptions;
  try {
    const { devDir: _, ...certificates } = await clientCertificates(flags);
    options = { ...certificates, ...reachOptionsOf(flags), recoveryMillis: 0 };
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    // What is wrong with the files was told; the network can be looked at all the same.
    options = { recoveryMillis: 0 };
    const findings = await checkPeer(target, options, flags.timeout);
    return findings
      .filter(({ check }) => check === 'name' || check === 'tcp')
      .concat(
        problem(
          'tls',
          'certificate-unusable',
          error.message,
          'give certificates that can be used, and look again',
        ),
      );
  }
  return checkPeer(target, options, flags.timeout);
}

function tellFinding(finding: Finding, output: Output): void {
  output.event({ event: 'finding', ...finding });
  const { line, style } = output;
  const { check, level, text, advice } = finding;
  const paint = { ok: style.green, warning: style.yellow, problem: style.red, skipped: style.dim }[level];
  const mark = { ok: 'ok', warning: '!', problem: 'WRONG', skipped: '-' }[level];
  line(`${paint(mark.padEnd(5))}  ${check.padEnd(CHECK_CHARS)}  ${text}`);
  if (advice !== null) line(`${' '.repeat(7 + CHECK_CHARS)}  ${style.bold('->')} ${advice}`);
}

function verdict(
  { problems, warnings }: { readonly problems: number; readonly warnings: number },
  target: Target | undefined,
  { style }: Output,
): string {
  const what = target === undefined ? 'RDMA works here' : 'RDMA works here and towards that server';
  if (problems > 0) return style.red(`${problems} found that keeps RDMA from working`);
  return warnings > 0 ? style.yellow(`${what}, with ${warnings} that could be better`) : style.green(what);
}
