/** `queuepair nvme`: disks over NVMe over Fabrics. */
import type { Command } from 'commander';
import { nvmeBenchCommand } from './nvme/nvme-bench.js';
import { nvmeReadCommand, nvmeWriteCommand } from './nvme/nvme-copy.js';
import { nvmeDiscoverCommand } from './nvme/nvme-discover.js';
import { nvmeServeCommand } from './nvme/nvme-serve.js';
import { ProgramCommand } from './program-command.js';

const EXAMPLES = `
Examples:
  $ queuepair nvme serve --memory 1GiB            a disk in memory, for this host and others
  $ queuepair nvme discover 192.0.2.7             what another machine serves
  $ queuepair nvme write --help                   how to copy a file onto its disk`;

export function nvmeCommand(): Command {
  const command = new ProgramCommand('nvme').description(
    'disks over NVMe over Fabrics: serve them, find them, copy them',
  );
  const commands = [
    nvmeServeCommand(),
    nvmeDiscoverCommand(),
    nvmeReadCommand(),
    nvmeWriteCommand(),
    nvmeBenchCommand(),
  ];
  for (const one of commands) command.addCommand(one.helpOption('-h, --help', 'explain this command'));
  return command.addHelpText('after', EXAMPLES);
}
