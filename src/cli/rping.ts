/** `queuepair rping`: plays rping of rdma-core over any device, with itself or with the stock tool on the other side. */
import type { Command } from 'commander';
import type { CmConnection } from '../cm/cm-connection.js';
import { type CmIncoming, type CmServer, listen } from '../cm/cm-server.js';
import { connect } from '../cm/connect.js';
import { openDevice } from '../open-device.js';
import type { Device } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import { bytesArgument, countArgument, millisArgument, portArgument } from './arguments.js';
import { nearOf } from './local-address.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { RpingEnd } from './rping/rping-end.js';
import { type EndSignal, firstSignal, signalExitCode } from './shutdown.js';
import { checkStockPort } from './stock-tool.js';

const STANDARD_PORT = 7174;
const MAX_COUNT = 1_000_000_000;
/** The stock tool takes no more. */
const MAX_SIZE_BYTES = 65_535;
/** The head of a ping's text and its zero byte. */
const MIN_SIZE_BYTES = 24;

const EXAMPLES = `
Examples:
  $ queuepair rping -d soft:127.0.0.1                 a server, waiting for a client
  $ queuepair rping -d soft:127.0.0.2 127.0.0.1       a client of it, in another terminal
  $ rping -c -a 192.0.2.7 -v -C 10                    the stock tool as the client of 192.0.2.7
  $ rping -s -v                                       the stock tool as the server

The two meet by rdma_cm, which proves nobody's identity and hides nothing. A server takes pings up to its own -S. Both
devices use UDP port 4791.`;

interface Flags {
  readonly device: string;
  readonly port: number;
  readonly size: number;
  readonly count: number;
  readonly persistent?: boolean;
  readonly verbose?: boolean;
  readonly bind?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export function rpingCommand(): Command {
  return new ProgramCommand('rping')
    .description('play rping: meet by rdma_cm, READ a ping from the client and WRITE it back')
    .argument('[host]', 'server to ping (default: be the server, for one client)')
    .option('-d, --device <name>', 'device to use', 'soft')
    .option('-p, --port <port>', 'port of rdma_cm', portArgument, STANDARD_PORT)
    .option('-S, --size <bytes>', 'bytes of a ping', sizeArgument, 64)
    .option('-C, --count <count>', 'pings of the client', countArgument(MAX_COUNT), 10)
    .option('-P, --persistent', 'as the server, serve clients until interrupted, several at a time')
    .option('-v, --verbose', 'print what the pings hold')
    .option('--bind <address>', 'address to listen on as the server (default: all of the device)')
    .option('--timeout <ms>', 'give up when nothing happens for so long', millisArgument, 10_000)
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action((host: string | undefined, flags: Flags) =>
      rping(host, flags, createOutput(flags.json === true)),
    );
}

async function rping(host: string | undefined, flags: Flags, output: Output): Promise<void> {
  const device = await openDevice(flags.device, await nearOf(host ?? flags.bind));
  try {
    await checkStockPort(device, 'rping');
    if (host === undefined) await serve(device, flags, output);
    else await ping(device, host, flags, output);
  } finally {
    await device.close();
  }
}

const openEnd = (device: Device, { size, timeout }: Flags): Promise<RpingEnd> =>
  RpingEnd.open(device, { sizeBytes: size, timeoutMillis: timeout });

async function ping(device: Device, host: string, flags: Flags, output: Output): Promise<void> {
  const { port, count, timeout: timeoutMillis } = flags;
  const end = await openEnd(device, flags);
  try {
    const connection = await connect(device, { host, port, qp: end.endpoint, timeoutMillis });
    tellConnected(connection, output);
    const begin = performance.now();
    for (let round = 0; round < count; round++) tellPing(round, await end.ping(round), flags, output);
    const micros = ((performance.now() - begin) * 1000) / count;
    await connection.disconnect();
    output.event({ event: 'result', pings: count, sizeBytes: flags.size, microsPerPing: micros });
    output.line(`${count} pings of ${flags.size} bytes, ${micros.toFixed(1)} µs each`);
  } finally {
    await end.close();
  }
}

async function serve(device: Device, flags: Flags, output: Output): Promise<void> {
  const { bind, port, persistent = false } = flags;
  const server = await listen(device, { port, ...(bind === undefined ? {} : { host: bind }) });
  const { address } = server;
  output.event({ event: 'listening', host: address.host, port: address.port });
  output.line(`waiting for a client on port ${address.port} of rdma_cm`);
  const stopped = firstSignal().then(async (signal) => {
    await server.close();
    return signal;
  });
  try {
    if (persistent) await serveMany(server, device, flags, output);
    else await serveOne(server, device, flags, output);
  } finally {
    await server.close();
  }
  await tellStop(stopped);
}

/** The exit code of a server that was interrupted; one that ended by itself has its own. */
async function tellStop(stopped: Promise<EndSignal>): Promise<void> {
  const signal = await Promise.race([stopped, undefined]);
  if (signal !== undefined) process.exitCode = signalExitCode(signal);
}

async function serveOne(server: CmServer, device: Device, flags: Flags, output: Output): Promise<void> {
  const request = await server.next();
  if (request !== undefined) await serveClient(request, device, flags, output);
}

/** One client's trouble is not that of the others. */
async function serveMany(server: CmServer, device: Device, flags: Flags, output: Output): Promise<void> {
  const clients = new Set<Promise<void>>();
  for await (const request of server) {
    const client = serveClient(request, device, flags, output).catch((error: unknown) => {
      if (!(error instanceof RdmaError)) throw error;
      output.event({
        event: 'client-failed',
        host: request.remote.host,
        code: error.code,
        reason: error.message,
      });
      output.line(`${request.remote.host}: ${error.message}`);
    });
    clients.add(client);
    client.finally(() => clients.delete(client));
  }
  await Promise.all(clients);
}

async function serveClient(request: CmIncoming, device: Device, flags: Flags, output: Output): Promise<void> {
  const end = await openEnd(device, flags).catch(async (error: unknown) => {
    // The client hears it at once, rather than by its own impatience.
    await request.reject();
    throw error;
  });
  try {
    const connection = await request.accept({ qp: end.endpoint });
    tellConnected(connection, output);
    const pings = await pongUntilGone(end, connection, flags, output);
    output.event({ event: 'disconnected', host: connection.remote.host, pings });
    output.line(`${connection.remote.host} has left after ${pings} pings`);
  } finally {
    await end.close();
  }
}

/** Returns how many pings there were. A client that leaves between two of them leaves in order. */
async function pongUntilGone(
  end: RpingEnd,
  connection: CmConnection,
  flags: Flags,
  output: Output,
): Promise<number> {
  let pings = 0;
  try {
    for (;;) {
      tellPing(pings, await end.pong(), flags, output);
      pings++;
    }
  } catch (error) {
    // The client's farewell flushes the receives of this side, which looks like a failure at first.
    const ending = await connection.disconnect();
    if (end.isAmidPing || ending.type !== 'disconnected' || !ending.byPeer) throw error;
    return pings;
  }
}

function tellPing(round: number, text: string, { verbose }: Flags, output: Output): void {
  if (verbose !== true) return;
  output.event({ event: 'ping', round, text });
  output.line(text);
}

function tellConnected({ local, remote, peer, depths }: CmConnection, output: Output): void {
  output.event({ event: 'connected', local, remote, qpn: peer.qpn, ...depths });
  output.line(`connected with ${remote.host}, queue pair 0x${peer.qpn.toString(16).padStart(6, '0')}`);
}

const sizeArgument = (text: string): number =>
  countArgument(MAX_SIZE_BYTES, MIN_SIZE_BYTES)(String(bytesArgument(text)));
