/** `queuepair nvme bench`: operations a second and bandwidth of a disk, read at random. */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import type { NvmeNamespace } from '../../nvme/host/namespace.js';
import { usageError } from '../../verbs/errors.js';
import { bytesArgument, countArgument, type Target } from '../arguments.js';
import { createOutput } from '../output.js';
import { ProgramCommand } from '../program-command.js';
import { ProgressLine } from '../progress-line.js';
import { type DiskFlags, nvmeTarget, usingDisk, withDiskFlags } from './reach.js';

const MAX_DEPTH = 1024;
const MAX_SECONDS = 3600;
const PROGRESS_MILLIS = 200;

interface BenchFlags extends DiskFlags {
  readonly size: number;
  readonly depth: number;
  readonly seconds: number;
  readonly write?: boolean;
}

const EXAMPLES = `
Examples:
  $ queuepair nvme bench 192.0.2.7 nqn.2026-01.queuepair:disk
  $ queuepair nvme bench 192.0.2.7 nqn.2026-01.queuepair:disk --size 64KiB --depth 8 --write`;

export const nvmeBenchCommand = (): Command =>
  withDiskFlags(new ProgramCommand('bench').description('measure random reads of a disk, or writes'))
    .argument('<host>', 'HOST or HOST:PORT of the target, the port of rdma_cm', nvmeTarget)
    .argument('<nqn>', 'name of the subsystem')
    .option('--size <bytes>', 'bytes of an operation', bytesArgument, 4096)
    .option('--depth <count>', 'operations under way', countArgument(MAX_DEPTH), 32)
    .option('--seconds <seconds>', 'how long', countArgument(MAX_SECONDS), 3)
    .option('--write', 'write zeros: what is on the disk is lost')
    .addHelpText('after', EXAMPLES)
    .action((target: Target, nqn: string, flags: BenchFlags) => bench(target, nqn, flags));

const bench = (target: Target, nqn: string, flags: BenchFlags): Promise<void> =>
  usingDisk(target, nqn, flags, async (controller, signal) => {
    const disk = controller.namespace(flags.namespace);
    const { size, depth, write = false } = flags;
    if (size % disk.blockBytes !== 0 || size === 0 || size > disk.sizeBytes) {
      throw usageError(`--size must be a multiple of the disk's blocks of ${disk.blockBytes} bytes`);
    }
    const output = createOutput(flags.json === true);
    const begin = performance.now();
    const deadline = begin + flags.seconds * 1000;
    const progress = new ProgressLine(write ? 'writing' : 'reading', flags.seconds * 1000);
    const showTime = (): void => progress.update(performance.now() - begin);
    const timer = setInterval(showTime, PROGRESS_MILLIS);
    let operations = 0;
    const count = (): void => void operations++;
    try {
      await Promise.all(
        Array.from({ length: depth }, () => work(disk, { size, write, deadline, signal }, count)),
      );
    } finally {
      clearInterval(timer);
      progress.end();
    }
    const seconds = (performance.now() - begin) / 1000;
    const perSecond = operations / seconds;
    output.event({ event: 'result', operations, seconds, perSecond, bytesPerSecond: perSecond * size });
    output.line(
      `${write ? 'writes' : 'reads'} of ${size} bytes, ${depth} at a time: ${perSecond.toFixed(0)} a second, ${((perSecond * size) / 2 ** 20).toFixed(1)} MiB/s`,
    );
  });

interface Load {
  readonly size: number;
  readonly write: boolean;
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** Until its time is over; what a signal cuts short is told as far as it went. */
async function work(
  disk: NvmeNamespace,
  { size, write, deadline, signal }: Load,
  onDone: () => void,
): Promise<void> {
  const bytes = new Uint8Array(size);
  const places = Math.floor(disk.sizeBytes / size);
  while (performance.now() < deadline && !signal.aborted) {
    const offset = randomInt(places) * size;
    try {
      await (write ? disk.write(offset, bytes, { signal }) : disk.read(offset, bytes, { signal }));
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    onDone();
  }
}
