/** `queuepair nvme discover`: what a target serves to this host. */
import type { Command } from 'commander';
import { discoverNvme } from '../../nvme/host/nvme-host.js';
import { hostPort } from '../../verbs/host-port.js';
import type { Target } from '../arguments.js';
import { createOutput, type Output } from '../output.js';
import { ProgramCommand } from '../program-command.js';
import { nvmeTarget, type ReachFlags, reaching, withReach } from './reach.js';

const EXAMPLES = `
Examples:
  $ queuepair nvme discover 192.0.2.7
  $ queuepair nvme discover 192.0.2.7:4420 --json`;

export const nvmeDiscoverCommand = (): Command =>
  withReach(new ProgramCommand('discover').description('ask a target what it serves'))
    .argument('<host>', 'HOST or HOST:PORT of the target, the port of rdma_cm', nvmeTarget)
    .addHelpText('after', EXAMPLES)
    .action((target: Target, flags: ReachFlags) =>
      discover(target, flags, createOutput(flags.json === true)),
    );

async function discover(target: Target, flags: ReachFlags, output: Output): Promise<void> {
  const found = await reaching(target, flags, discoverNvme);
  for (const { nqn, host, port, isDiscovery } of found) {
    output.event({ event: 'subsystem', nqn, host, port, isDiscovery });
    output.line(`${nqn}  ${hostPort(host, port)}${isDiscovery ? '  (discovery)' : ''}`);
  }
}
