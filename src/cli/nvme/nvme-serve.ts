/** `queuepair nvme serve`: serves a file, or memory, to NVMe hosts until it is told to end. */
import { once } from 'node:events';
import type { Command } from 'commander';
import type { NvmeBackend } from '../../nvme/backend.js';
import { fileBackend } from '../../nvme/backends/file-backend.js';
import { memoryBackend } from '../../nvme/backends/memory-backend.js';
import { type NvmeTarget, serveNvme } from '../../nvme/target/nvme-target.js';
import { openDevice } from '../../open-device.js';
import { RdmaError } from '../../verbs/errors.js';
import { bytesArgument, collect, countArgument, portArgument } from '../arguments.js';
import { nearOf } from '../local-address.js';
import { withFile } from '../local-file.js';
import { createOutput, type Output } from '../output.js';
import { ProgramCommand } from '../program-command.js';
import { firstSignal, signalExitCode } from '../shutdown.js';
import { checkStockPort } from '../stock-tool.js';
import { WrongArguments } from '../wrong-arguments.js';
import { STANDARD_PORT } from './reach.js';

const MAX_BLOCK_BYTES = 4096;

const EXAMPLES = `
Examples:
  $ queuepair nvme serve --memory 1GiB                           a disk in memory
  $ queuepair nvme serve disk.img --size 8GiB                    a file, which is made where it is missing
  $ nvme connect -t rdma -a 192.0.2.7 -n nqn.2026-01.queuepair:disk     a Linux host of 192.0.2.7

Nobody proves who he is: --allow-host compares names that hosts say themselves. The device uses UDP port 4791.`;

interface Flags {
  readonly device: string;
  readonly memory?: number;
  readonly size?: number;
  readonly block: number;
  readonly nqn: string;
  readonly allowHost: readonly string[];
  readonly port: number;
  readonly bind?: string;
  readonly json?: boolean;
}

export function nvmeServeCommand(): Command {
  return new ProgramCommand('serve')
    .description('serve a file or memory as a disk')
    .argument('[file]', 'the file with the blocks')
    .option('-d, --device <name>', 'device to use', 'soft')
    .option('--memory <size>', 'serve so much memory in place of a file', bytesArgument)
    .option('--size <size>', 'make the file, or make it as large', bytesArgument)
    .option(
      '--block <bytes>',
      'bytes of a block: 512 to 4096',
      countArgument(MAX_BLOCK_BYTES),
      MAX_BLOCK_BYTES,
    )
    .option('--nqn <name>', 'name of the subsystem', 'nqn.2026-01.queuepair:disk')
    .option('--allow-host <nqn>', 'a host that may come; repeatable (default: every host)', collect, [])
    .option('-p, --port <port>', 'port of rdma_cm', portArgument, STANDARD_PORT)
    .option('--bind <address>', 'address to listen on (default: all of the device)')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action((file: string | undefined, flags: Flags) =>
      serve(file, flags, createOutput(flags.json === true)),
    );
}

async function serve(file: string | undefined, flags: Flags, output: Output): Promise<void> {
  if ((file === undefined) === (flags.memory === undefined)) {
    throw new WrongArguments('name a file, or say how much --memory to serve');
  }
  await using backend = await openBackend(file, flags);
  const device = await openDevice(flags.device, await nearOf(flags.bind));
  try {
    await checkStockPort(device, 'NVMe hosts');
    const { port, bind, nqn, allowHost } = flags;
    const target = await serveNvme({
      device,
      port,
      ...(bind === undefined ? {} : { host: bind }),
      subsystems: {
        [nqn]: {
          namespaces: [backend.blocks],
          ...(allowHost.length === 0 ? {} : { allowedHosts: allowHost }),
        },
      },
    });
    narrate(target, output);
    tellListening(target, nqn, backend.blocks, output);
    const lost = once(target, 'close').then(() => undefined);
    const signal = await Promise.race([firstSignal(), lost]);
    await target.close();
    if (signal === undefined) throw new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the device stopped to listen');
    process.exitCode = signalExitCode(signal);
    output.event({ event: 'closed', ...target.counters() });
  } finally {
    await device.close();
  }
}

interface OpenBackend extends AsyncDisposable {
  readonly blocks: NvmeBackend;
}

async function openBackend(
  file: string | undefined,
  { memory = 0, size, block }: Flags,
): Promise<OpenBackend> {
  if (file === undefined) {
    return { blocks: memoryBackend(memory, { blockBytes: block }), [Symbol.asyncDispose]: async () => {} };
  }
  const blocks = await withFile(
    file,
    () => fileBackend(file, { blockBytes: block, ...(size === undefined ? {} : { sizeBytes: size }) }),
    size === undefined ? '; --size makes one that is missing' : '',
  );
  return { blocks, [Symbol.asyncDispose]: () => blocks.close() };
}

function tellListening(target: NvmeTarget, nqn: string, { sizeBytes }: NvmeBackend, output: Output): void {
  const { host, port } = target.address;
  output.event({ event: 'listening', host, port, nqn, sizeBytes });
  output.line(`serving ${nqn}, ${(sizeBytes / 2 ** 20).toFixed(0)} MiB, on port ${port} of rdma_cm`);
}

function narrate(target: NvmeTarget, output: Output): void {
  target.on('connect', (host) => {
    output.event({ event: 'connect', ...host });
    output.line(`${host.address.host}: ${host.hostNqn} uses ${host.subsystem}`);
  });
  target.on('disconnect', (host, reason) => {
    output.event({ event: 'disconnect', ...host, reason });
    output.line(`${host.address.host}: ${host.hostNqn} is gone: ${reason}`);
  });
  target.on('refused', (address, reason) => {
    output.event({ event: 'refused', address, reason });
    output.line(`${address.host}: ${reason}`);
  });
  target.on('backendError', (error, host) => {
    const reason = error instanceof Error ? error.message : String(error);
    output.event({ event: 'backend-error', ...host, reason });
    output.line(`${host.hostNqn}: the disk failed: ${reason}`);
  });
}
