/** `queuepair pingpong`: plays ibv_rc_pingpong over any device, with itself or with the stock tool on the other side. */
import type { Command } from 'commander';
import { openDevice } from '../open-device.js';
import type { PathMtu } from '../verbs/mtu.js';
import { countArgument, millisArgument, portArgument } from './arguments.js';
import { createOutput, type Output } from './output.js';
import { AddressServer, exchangeAsClient, type PingpongAddress } from './pingpong/address-exchange.js';
import { PingPongEnd } from './pingpong/ping-pong-end.js';
import { ProgramCommand } from './program-command.js';
import { checkStockPort, gidIndexArgument, mtuArgument } from './stock-tool.js';
import { WrongArguments } from './wrong-arguments.js';

const STANDARD_PORT = 18515;
const MAX_ITERATIONS = 1_000_000_000;
const MAX_SIZE_BYTES = 2 ** 28;
const MAX_RECEIVE_DEPTH = 16_384;

const EXAMPLES = `
Examples:
  $ queuepair pingpong -d soft:127.0.0.1                  a server, waiting for a client
  $ queuepair pingpong -d soft:127.0.0.2 127.0.0.1        a client of it, in another terminal
  $ ibv_rc_pingpong -d rxe0 -g 1 192.0.2.7                the stock tool as the client of a server on 192.0.2.7

Size, MTU and iterations must be the same on both sides, as with the stock tool. Both sides use UDP port 4791.`;

interface Flags {
  readonly device: string;
  readonly port: number;
  readonly size: number;
  readonly mtu: PathMtu;
  readonly iters: number;
  readonly warmup: number;
  readonly rxDepth: number;
  readonly gidIdx?: number;
  readonly events?: boolean;
  readonly check: boolean;
  readonly bind?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export function pingpongCommand(): Command {
  return new ProgramCommand('pingpong')
    .description('play ibv_rc_pingpong: messages to and fro, with their data checked')
    .argument('[host]', 'server to play with (default: be the server, for one client)')
    .option('-d, --device <name>', 'device to use', 'soft')
    .option('-p, --port <port>', 'TCP port of the address exchange', portArgument, STANDARD_PORT)
    .option('-s, --size <bytes>', 'size of a message', countArgument(MAX_SIZE_BYTES), 4096)
    .option('-m, --mtu <bytes>', 'path MTU', mtuArgument, 1024 as PathMtu)
    .option('-r, --rx-depth <count>', 'receives posted at a time', countArgument(MAX_RECEIVE_DEPTH), 500)
    .option('-n, --iters <count>', 'messages each way', countArgument(MAX_ITERATIONS), 1000)
    .option(
      '--warmup <count>',
      'messages at the start that the result leaves out',
      countArgument(MAX_ITERATIONS, 0),
      0,
    )
    .option('-g, --gid-idx <index>', 'GID to use (default: the first RoCE v2 one)', gidIndexArgument)
    .option('-e, --events', 'sleep until something completes (default: look again and again)')
    .option('--no-check', 'neither change nor check the data from message to message, as the stock tool')
    .option('--bind <address>', 'address to listen on as the server (default: all)')
    .option('--timeout <ms>', 'give up when nothing happens for so long', millisArgument, 10_000)
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action((host: string | undefined, flags: Flags) => {
      const { warmup, iters } = flags;
      if (warmup >= iters)
        throw new WrongArguments(`--warmup ${warmup} leaves nothing of -n ${iters} to measure`);
      return pingpong(host, flags, createOutput(flags.json === true));
    });
}

async function pingpong(host: string | undefined, flags: Flags, output: Output): Promise<void> {
  const device = await openDevice(flags.device);
  let end: PingPongEnd | undefined;
  try {
    await checkStockPort(device, 'ibv_rc_pingpong');
    end = await PingPongEnd.open(device, {
      sizeBytes: flags.size,
      mtu: flags.mtu,
      iterations: flags.iters,
      warmup: flags.warmup,
      receiveDepth: flags.rxDepth,
      gidIndex: flags.gidIdx,
      useEvents: flags.events === true,
      checksData: flags.check,
      timeoutMillis: flags.timeout,
    });
    await meet(host, flags, end, output);
    if (host === undefined) await end.playServer();
    else await end.playClient();
    printResult(flags, (performance.now() - end.measuredFrom) / 1000, output);
    if (host !== undefined) await end.linger();
  } finally {
    await end?.close();
    await device.close();
  }
}

async function meet(host: string | undefined, flags: Flags, end: PingPongEnd, output: Output): Promise<void> {
  const own = end.address;
  const exchange = {
    own,
    timeoutMillis: flags.timeout,
    onRemote: async (remote: PingpongAddress): Promise<void> => {
      await end.connect(remote);
      output.event({ event: 'connected', local: own, remote });
      output.line(describe('local', own));
      output.line(describe('remote', remote));
    },
  };
  if (host !== undefined) return exchangeAsClient(host, flags.port, exchange);
  const server = await AddressServer.listen(flags.bind, flags.port);
  output.event({ event: 'listening', port: server.port });
  output.line(`waiting for a client on TCP port ${server.port}`);
  await server.exchange(exchange);
}

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** As the stock tool writes it. */
const describe = (side: string, { lid, qpn, psn, gid }: PingpongAddress): string =>
  `  ${`${side} address:`.padEnd(17)}LID ${hex(lid, 4)}, QPN ${hex(qpn, 6)}, PSN ${hex(psn, 6)}, GID ${gid}`;

function printResult({ size, ...flags }: Flags, seconds: number, output: Output): void {
  const iters = flags.iters - flags.warmup;
  const bytes = size * iters * 2;
  const mbitPerSecond = (bytes * 8) / seconds / 1e6;
  const microsPerIteration = (seconds * 1e6) / iters;
  output.event({ event: 'result', bytes, seconds, mbitPerSecond, iterations: iters, microsPerIteration });
  output.line(`${bytes} bytes in ${seconds.toFixed(2)} seconds = ${mbitPerSecond.toFixed(2)} Mbit/sec`);
  output.line(`${iters} iters in ${seconds.toFixed(2)} seconds = ${microsPerIteration.toFixed(2)} usec/iter`);
}
