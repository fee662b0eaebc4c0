/** `queuepair nvme read` and `write`: copies between a disk and a file, with a line of progress on a terminal. */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import type { NvmeNamespace } from '../../nvme/host/namespace.js';
import { usageError } from '../../verbs/errors.js';
import { bytesArgument, type Target } from '../arguments.js';
import { withFile } from '../local-file.js';
import { createOutput } from '../output.js';
import { ProgramCommand } from '../program-command.js';
import { ProgressLine } from '../progress-line.js';
import { type DiskFlags, nvmeTarget, usingDisk, withDiskFlags } from './reach.js';

/** Under way at a time. */
const PIECE_BYTES = 4 << 20;

interface CopyFlags extends DiskFlags {
  readonly offset: number;
  readonly length?: number;
}

const READ_EXAMPLES = `
Examples:
  $ queuepair nvme read 192.0.2.7 nqn.2026-01.queuepair:disk copy.img
  $ queuepair nvme read 192.0.2.7 nqn.2026-01.queuepair:disk part.img --offset 1GiB --length 256MiB`;

const WRITE_EXAMPLES = `
Examples:
  $ queuepair nvme write 192.0.2.7 nqn.2026-01.queuepair:disk image.img
  $ queuepair nvme write 192.0.2.7 nqn.2026-01.queuepair:disk part.img --offset 1GiB`;

const withPlace = (command: Command): Command =>
  withDiskFlags(command)
    .argument('<host>', 'HOST or HOST:PORT of the target, the port of rdma_cm', nvmeTarget)
    .argument('<nqn>', 'name of the subsystem')
    .argument('<file>', 'the file')
    .option('--offset <bytes>', 'where on the disk to begin', bytesArgument, 0);

export const nvmeReadCommand = (): Command =>
  withPlace(new ProgramCommand('read').description('copy a disk, or a part of it, into a file'))
    .option('--length <bytes>', 'how much (default: up to the end)', bytesArgument)
    .addHelpText('after', READ_EXAMPLES)
    .action((target: Target, nqn: string, file: string, flags: CopyFlags) => read(target, nqn, file, flags));

export const nvmeWriteCommand = (): Command =>
  withPlace(new ProgramCommand('write').description('copy a file onto a disk, and flush'))
    .addHelpText('after', WRITE_EXAMPLES)
    .action((target: Target, nqn: string, file: string, flags: CopyFlags) => write(target, nqn, file, flags));

const read = (target: Target, nqn: string, path: string, flags: CopyFlags): Promise<void> =>
  usingDisk(target, nqn, flags, async (controller, signal) => {
    const disk = controller.namespace(flags.namespace);
    const { offset, length = disk.sizeBytes - offset } = flags;
    checkPlace(disk, offset, length);
    const file = await withFile(path, () => open(path, 'w'));
    try {
      await inPieces('read', length, flags, async (at, bytes) => {
        const piece = new Uint8Array(wholeBlocks(bytes, disk));
        await disk.read(offset + at, piece, { signal });
        await withFile(path, () => file.writeFile(piece.subarray(0, bytes)));
      });
    } finally {
      await file.close();
    }
  });

const write = (target: Target, nqn: string, path: string, flags: CopyFlags): Promise<void> =>
  usingDisk(target, nqn, flags, async (controller, signal) => {
    const disk = controller.namespace(flags.namespace);
    const file = await withFile(path, () => open(path, 'r'));
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw usageError(`${path} is no ordinary file, so that its size is not known`);
      const { size } = stat;
      if (size % disk.blockBytes !== 0) {
        throw usageError(
          `the file has ${size} bytes, which is no multiple of the disk's blocks of ${disk.blockBytes} bytes`,
        );
      }
      checkPlace(disk, flags.offset, size);
      await inPieces('written', size, flags, async (at, bytes) => {
        const piece = new Uint8Array(bytes);
        for (let done = 0; done < bytes; ) {
          const { bytesRead } = await file.read(piece, done, bytes - done, at + done);
          if (bytesRead === 0) throw usageError('the file became shorter while it was read');
          done += bytesRead;
        }
        // What a target has that may be lost must survive without a flush: it may be another one by then.
        await disk.write(flags.offset + at, piece, { signal, durable: flags.reconnect !== undefined });
      });
      await disk.flush({ signal });
    } finally {
      await file.close();
    }
  });

/** Before anything is emptied or written. A part of the last block may be read. */
function checkPlace({ sizeBytes, blockBytes }: NvmeNamespace, offset: number, length: number): void {
  if (offset % blockBytes !== 0)
    throw usageError(`--offset must be a multiple of the disk's blocks of ${blockBytes} bytes`);
  if (length < 0 || offset + length > sizeBytes)
    throw usageError(`that reaches beyond the end of the disk, which has ${sizeBytes} bytes`);
}

async function inPieces(
  what: string,
  length: number,
  flags: CopyFlags,
  move: (at: number, bytes: number) => Promise<void>,
): Promise<void> {
  const output = createOutput(flags.json === true);
  const begin = performance.now();
  const progress = new ProgressLine(what, length, { isBytes: true });
  try {
    for (let at = 0; at < length; at += PIECE_BYTES) {
      await move(at, Math.min(PIECE_BYTES, length - at));
      progress.update(Math.min(length, at + PIECE_BYTES));
    }
  } finally {
    progress.end();
  }
  const seconds = (performance.now() - begin) / 1000;
  output.event({ event: 'result', bytes: length, seconds });
  output.line(
    `${length} bytes ${what} in ${seconds.toFixed(2)} s, ${(length / 2 ** 20 / seconds).toFixed(1)} MiB/s`,
  );
}

const wholeBlocks = (bytes: number, { blockBytes }: NvmeNamespace): number =>
  Math.ceil(bytes / blockBytes) * blockBytes;
