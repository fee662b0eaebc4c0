/** `queuepair nvme`: disks over NVMe over Fabrics. */
import { Command } from 'commander';
import { nvmeServeCommand } from './nvme/nvme-serve.js';

export function nvmeCommand(): Command {
  const command = new Command('nvme').description(
    'disks over NVMe over Fabrics: serve one to hosts such as Linux',
  );
  for (const one of [nvmeServeCommand()])
    command.addCommand(one.helpOption('-h, --help', 'explain this command'));
  return command;
}
