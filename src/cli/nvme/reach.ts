/** What every command of an NVMe host takes: a device, a target, and who the host says that it is. */
import type { Command } from 'commander';
import { connectNvme, type NvmeController } from '../../nvme/host/nvme-host.js';
import type { DiscoverNvmeOptions } from '../../nvme/host/options.js';
import { openDevice } from '../../open-device.js';
import type { Device } from '../../verbs/device.js';
import { countArgument, millisArgument, portArgument, type Target, targetArgument } from '../arguments.js';
import { nearOf } from '../local-address.js';

export const STANDARD_PORT = 4420;

export interface ReachFlags {
  readonly device: string;
  readonly udpPort?: number;
  readonly hostNqn?: string;
  readonly hostId?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export interface DiskFlags extends ReachFlags {
  readonly namespace: number;
  readonly queues: number;
}

const MAX_NAMESPACE = 0xffff_fffe;
const MAX_QUEUES = 64;

export const nvmeTarget = (text: string): Target => targetArgument(text, STANDARD_PORT);

export const withReach = (command: Command): Command =>
  command
    .option('-d, --device <name>', 'device to use', 'soft')
    .option(
      '--udp-port <port>',
      "UDP port of the target's device, where it is another soft one",
      portArgument,
    )
    .option('--host-nqn <nqn>', 'the name of this host (default: a new one)')
    .option('--host-id <uuid>', 'the ID of this host (default: a new one)')
    .option('--timeout <ms>', 'how long to wait for an answer', millisArgument, 10_000)
    .option('--json', 'one JSON object a line on standard output');

export const withDiskFlags = (command: Command): Command =>
  withReach(command)
    .option('--namespace <id>', 'number of the namespace', countArgument(MAX_NAMESPACE), 1)
    .option('--queues <count>', 'I/O queues', countArgument(MAX_QUEUES), 1);

/** Runs `work` with a device that reaches the target. */
export async function reaching<T>(
  { host, port }: Target,
  flags: ReachFlags,
  work: (options: DiscoverNvmeOptions & { readonly device: Device }) => Promise<T>,
): Promise<T> {
  const device = await openDevice(flags.device, await nearOf(host));
  try {
    const { udpPort, hostNqn, hostId, timeout: timeoutMillis } = flags;
    return await work({
      ...{ device, host, port, timeoutMillis },
      ...(udpPort === undefined ? {} : { udpPort }),
      ...(hostNqn === undefined ? {} : { hostNqn }),
      ...(hostId === undefined ? {} : { hostId }),
    });
  } finally {
    await device.close();
  }
}

/** Runs `work` with the controller of a subsystem, which is left in order. */
export const usingDisk = <T>(
  target: Target,
  nqn: string,
  flags: DiskFlags,
  work: (controller: NvmeController) => Promise<T>,
): Promise<T> =>
  reaching(target, flags, async (options) => {
    const controller = await connectNvme({ ...options, nqn, queues: flags.queues });
    let result: T;
    try {
      result = await work(controller);
    } catch (error) {
      // What failed is told, and not that the end was no better.
      await controller.close().catch(() => {});
      throw error;
    }
    await controller.close();
    return result;
  });
