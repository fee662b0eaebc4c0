/** What every command of an NVMe host takes: a device, a target, and who the host says that it is. */
import type { Command } from 'commander';
import { connectNvme, type NvmeController } from '../../nvme/host/nvme-host.js';
import type { DiscoverNvmeOptions } from '../../nvme/host/options.js';
import { openDevice } from '../../open-device.js';
import type { Device } from '../../verbs/device.js';
import { countArgument, millisArgument, portArgument, type Target, targetArgument } from '../arguments.js';
import { nearOf } from '../local-address.js';
import { createOutput, type Output } from '../output.js';
import { type EndSignal, firstSignal, signalExitCode } from '../shutdown.js';

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
  readonly reconnect?: number;
}

const MAX_NAMESPACE = 0xffff_fffe;
const MAX_QUEUES = 64;
const MAX_RECONNECT_SECONDS = 86_400;

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
    .option('--queues <count>', 'I/O queues', countArgument(MAX_QUEUES), 1)
    .option(
      '--reconnect <seconds>',
      'when the target goes, try so long to find it again, and go on',
      countArgument(MAX_RECONNECT_SECONDS),
    );

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

/** What a command does with a disk; `signal` aborts when the program is asked to end. */
export type DiskWork = (controller: NvmeController, signal: AbortSignal) => Promise<void>;

/** Runs `work` with the controller of a subsystem, which is left in order, also when the program is asked to end. */
export async function usingDisk(
  target: Target,
  nqn: string,
  flags: DiskFlags,
  work: DiskWork,
): Promise<void> {
  const interrupt = new AbortController();
  let asked: EndSignal | undefined;
  void firstSignal().then((signal) => {
    asked = signal;
    interrupt.abort(new Error(`${signal} came`));
  });
  try {
    await withDisk(target, nqn, flags, interrupt.signal, work);
  } catch (error) {
    if (asked === undefined) throw error;
  }
  if (asked !== undefined) process.exitCode = signalExitCode(asked);
}

const withDisk = (
  target: Target,
  nqn: string,
  flags: DiskFlags,
  signal: AbortSignal,
  work: DiskWork,
): Promise<void> =>
  reaching(target, flags, async (options) => {
    const { queues, reconnect, json } = flags;
    const controller = await connectNvme({
      ...{ ...options, nqn, queues, signal },
      // Nobody else is expected to write where this program does.
      ...(reconnect === undefined
        ? {}
        : { reconnect: { withinMillis: reconnect * 1000, repeatWrites: true, signal } }),
    });
    tellLosses(controller, createOutput(json === true));
    try {
      await work(controller, signal);
    } catch (error) {
      // What failed is told, and not that the end was no better.
      await controller.close().catch(() => {});
      throw error;
    }
    await controller.close();
  });

function tellLosses(controller: NvmeController, output: Output): void {
  const tell = (event: string, text: string): void => {
    output.event({ event, message: text });
    if (!output.json) process.stderr.write(`${text}\n`);
  };
  controller.on('reconnecting', (reason) => tell('reconnecting', `the disk is gone: ${reason}`));
  controller.on('reconnected', (attempts) => tell('reconnected', `the disk is back (attempts: ${attempts})`));
}
