/** `queuepair demo`: a server and clients as processes of their own, and everything that happens between them, told. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { countArgument } from './arguments.js';
import { DemoNarrator } from './demo/demo-narrator.js';
import { type DemoOptions, runDemo } from './demo/demo-run.js';
import { ExitCode } from './failure.js';
import { createOutput } from './output.js';
import { ProgramCommand } from './program-command.js';
import { firstSignal, signalExitCode } from './shutdown.js';

const DEFAULT_CLIENTS = 3;
/** As many as a server has slots. */
const MAX_CLIENTS = 10;

const EXAMPLES = `
A server and the clients run as processes of their own and talk RoCEv2 in real UDP packets on loopback. Each client
connects over TLS 1.3, carries files to the server and back as messages, RDMA writes and RDMA reads, and quits; SHA-256
of every copy is compared. Certificates and files are made for the demo and removed after it.

Examples:
  $ queuepair demo
  $ queuepair demo --capture demo.pcapng          open the file in Wireshark afterwards
  $ queuepair demo --json | tail -n 1             the summary`;

interface DemoFlags {
  readonly clients: number;
  readonly capture?: string;
  readonly showPsn?: boolean;
  readonly json?: boolean;
}

export function demoCommand(): Command {
  return new ProgramCommand('demo')
    .description('see all of it at work: a server, clients, TLS, queue pairs, messages, RDMA, clean-up')
    .option('--clients <count>', 'how many', countArgument(MAX_CLIENTS), DEFAULT_CLIENTS)
    .option('--capture <file>', "write what the server's device sends and receives as pcapng, for Wireshark")
    .option('--show-psn', 'show packet sequence numbers, which are secrets otherwise')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: DemoFlags) => {
      process.exitCode = await demo(flags);
    });
}

async function demo(flags: DemoFlags): Promise<number> {
  const output = createOutput(flags.json === true);
  const options: DemoOptions = {
    clients: flags.clients,
    revealPsns: flags.showPsn === true,
    capture: flags.capture === undefined ? undefined : resolve(flags.capture),
  };
  const abort = new AbortController();
  const interrupted = firstSignal().then((signal) => {
    abort.abort();
    return signalExitCode(signal);
  });
  const played = runDemo(options, output, new DemoNarrator(output), abort.signal).then(({ passed }) =>
    passed ? ExitCode.OK : ExitCode.FAILED,
  );
  const code = await Promise.race([interrupted, played]);
  // Its processes and files are gone then, interrupted or not.
  await Promise.allSettled([played]);
  return code;
}
