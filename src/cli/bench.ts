/** `queuepair bench`: measures latency and bandwidth between two machines, with a server on one and a client on the other. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_HANDSHAKE_DEADLINE_MILLIS } from '../connection/terms/options.js';
import { openDevice } from '../open-device.js';
import type { ControlChannel } from '../session/control-channel.js';
import { connectTls } from '../session/tls-client.js';
import { createTlsServer } from '../session/tls-server.js';
import type { Device } from '../verbs/device.js';
import { hostPort } from '../verbs/host-port.js';
import { bytesArgument, countArgument, portArgument, type Target, targetArgument } from './arguments.js';
import { BenchEnd } from './bench/bench-end.js';
import {
  type BenchPlan,
  isLatency,
  MAX_COUNT,
  MAX_DEPTH,
  MAX_SIZE_BYTES,
  TEST_NAMES,
  type TestName,
} from './bench/bench-plan.js';
import { headOf, lineOf, resultOf } from './bench/bench-report.js';
import { runBench, serveBench } from './bench/workloads.js';
import { withCertificateAdvice } from './certificate-advice.js';
import { clientCertificates, serverCertificates } from './certificates.js';
import { ExitCode, failureLine } from './failure.js';
import { formatBytes } from './format.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { ProgressLine } from './progress-line.js';
import { firstSignal } from './shutdown.js';

const DEFAULT_PORT = 4434;
const DEFAULTS = {
  latency: { size: 64, count: 2000 },
  bandwidth: { size: 65_536, count: 2000 },
} as const;
/** Part of the count that comes before what counts, for compilers and caches to warm up. */
const WARMUP_SHARE = 4;

const EXAMPLES = `
Measurements, all of them unless --test names some:
  send-rtt    a message and its echo, both by SEND        write-bw    RDMA WRITEs, as many under way as --depth says
  write-lat   an RDMA WRITE until it is acknowledged      read-bw     RDMA READs
  read-lat    an RDMA READ until its data is here         send-bw     SENDs
Sessions are those of connections: TLS 1.3, PSNs exchanged first. Before RDMA is measured, its data is checked.

Examples:
  $ queuepair bench                                       a server on 127.0.0.1
  $ queuepair bench 127.0.0.1                             a client of it, in another terminal
  $ queuepair bench --host 192.0.2.7 --cert s.pem --key s-key.pem --client-ca ca.pem
  $ queuepair bench 192.0.2.7 --ca ca.pem --cert c.pem --key c-key.pem --test write-bw,read-bw --size 1MiB`;

interface BenchFlags {
  readonly host: string;
  readonly port: number;
  readonly device?: string;
  readonly test: readonly TestName[];
  readonly size?: number;
  readonly count?: number;
  readonly depth: number;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly clientCa?: string;
  readonly devCerts?: string;
  readonly servername?: string;
  readonly json?: boolean;
}

export function benchCommand(): Command {
  return new ProgramCommand('bench')
    .description('measure latency and bandwidth between two machines, as perftest does')
    .argument('[target]', 'server to measure with, HOST or HOST:PORT (default: be the server)', benchTarget)
    .option('--host <address>', 'server: address to listen on', '127.0.0.1')
    .option('--port <number>', 'server: TCP port; 0 = any free one', portArgument, DEFAULT_PORT)
    .option('--device <name>', 'RDMA device (default: a soft one on the address in use)')
    .addOption(
      new Option('--test <names>', 'measurements, with commas between them')
        .argParser(testsArgument)
        .default(TEST_NAMES, 'all'),
    )
    .addOption(
      new Option(
        '--size <bytes>',
        'of one message (default: 64 for latencies, 64KiB for bandwidths)',
      ).argParser(sizeArgument),
    )
    .option('--count <number>', 'operations that count (default: 2000)', countArgument(MAX_COUNT))
    .option('--depth <number>', 'operations under way, for bandwidths', countArgument(MAX_DEPTH), 32)
    .option('--cert <file>', 'our certificate, PEM (default: a development one)')
    .option('--key <file>', 'its private key, PEM')
    .option('--ca <file>', 'client: authority that signed the certificate of the server, PEM')
    .option('--client-ca <file>', 'server: authority that must have signed those of clients, PEM')
    .option('--dev-certs <dir>', 'where the development certificates are kept')
    .option('--servername <name>', 'client: name that the certificate of the server must hold, if not HOST')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (target: Target | undefined, flags: BenchFlags) => {
      const output = createOutput(flags.json === true);
      process.exitCode =
        target === undefined ? await runServer(flags, output) : await runClient(target, flags, output);
    });
}

// --- server -----------------------------------------------------------------------------------------------------------

async function runServer(flags: BenchFlags, output: Output): Promise<number> {
  const signalled = firstSignal();
  const { dev: _, ...certificates } = await serverCertificates(flags, flags);
  const device = await openDevice(flags.device, { near: flags.host });
  const busy = new Set<Promise<void>>();
  const server = createTlsServer({
    ...certificates,
    onChannel(channel) {
      const served = serveOne(channel, device, output).finally(() => busy.delete(served));
      busy.add(served);
    },
    onRefused: ({ address, port, reason }) => {
      output.event({ event: 'refused', address, port, reason });
      output.line(`refused ${hostPort(address, port)}: ${reason}`);
    },
  });
  try {
    const { address, port } = await server.listen({ host: flags.host, port: flags.port });
    output.event({ event: 'listening', host: address, port, device: device.name });
    output.line(`waiting on ${hostPort(address, port)}, device ${device.name}; Ctrl-C ends`);
    await signalled;
  } finally {
    await server.close('the server is closing');
    await Promise.all(busy);
    await device.close();
  }
  return ExitCode.OK;
}

async function serveOne(channel: ControlChannel, device: Device, output: Output): Promise<void> {
  const client = hostPort(channel.remoteAddress, channel.remotePort);
  let end: BenchEnd | undefined;
  try {
    end = await BenchEnd.establish(channel, device);
    const { test, size, total, depth } = await serveBench(end);
    output.event({ event: 'served', client, test, size, total, depth });
    output.line(`${client}: ${test}, ${total} × ${formatBytes(size)}`);
    await end.left;
  } catch (error) {
    const message = failureLine(error);
    output.event({ event: 'failed', client, message });
    output.line(`${client}: ${message}`);
  } finally {
    await end?.close();
  }
}

// --- client -----------------------------------------------------------------------------------------------------------

async function runClient(target: Target, flags: BenchFlags, output: Output): Promise<number> {
  const { devDir, ...certificates } = await clientCertificates(flags);
  const { servername } = flags;
  const tls = { ...target, ...certificates, ...(servername === undefined ? {} : { servername }) };
  let device: Device | undefined;
  let hadLatency: boolean | undefined;
  try {
    for (const test of flags.test) {
      const channel = await withCertificateAdvice(devDir, () =>
        connectTls({ ...tls, handshakeDeadlineMillis: DEFAULT_HANDSHAKE_DEADLINE_MILLIS }),
      );
      try {
        device ??= await openDevice(flags.device, { near: channel.localAddress });
        const end = await BenchEnd.establish(channel, device);
        const hasLatency = isLatency(test);
        if (hasLatency !== hadLatency)
          output.line((hadLatency === undefined ? '' : '\n') + headOf(hasLatency));
        hadLatency = hasLatency;
        await measure(end, planOf(test, flags), output);
      } finally {
        await channel.close('measured');
      }
    }
  } finally {
    await device?.close();
  }
  return ExitCode.OK;
}

interface Plan extends BenchPlan {
  /** Operations at the beginning that do not count. */
  readonly warmup: number;
}

function planOf(test: TestName, { size, count, depth }: BenchFlags): Plan {
  const defaults = isLatency(test) ? DEFAULTS.latency : DEFAULTS.bandwidth;
  const counted = count ?? defaults.count;
  const warmup = Math.floor(counted / WARMUP_SHARE);
  return {
    test,
    size: size ?? defaults.size,
    total: counted + warmup,
    warmup,
    depth: isLatency(test) ? 1 : depth,
  };
}

async function measure(end: BenchEnd, { warmup, ...plan }: Plan, output: Output): Promise<void> {
  const progress = new ProgressLine(`${plan.test}, ${formatBytes(plan.size)}`, plan.total);
  try {
    const measured = await runBench(end, plan, warmup, (done) => progress.update(done));
    progress.end();
    const result = resultOf(plan, plan.total - warmup, measured);
    output.event({ event: 'result', ...result });
    output.line(lineOf(result));
  } finally {
    progress.end();
    await end.close();
  }
}

// --- arguments --------------------------------------------------------------------------------------------------------

/** The port of this command, not that of `serve`. */
const benchTarget = (text: string): Target => targetArgument(text, DEFAULT_PORT);

function sizeArgument(text: string): number {
  const size = bytesArgument(text);
  if (size >= 1 && size <= MAX_SIZE_BYTES) return size;
  throw new InvalidArgumentError(`a message has 1 byte to ${formatBytes(MAX_SIZE_BYTES)}`);
}

function testsArgument(text: string): TestName[] {
  return text.split(',').map((name) => {
    const known = TEST_NAMES.find((test) => test === name.trim());
    if (known !== undefined) return known;
    throw new InvalidArgumentError(`measurements are ${TEST_NAMES.join(', ')}`);
  });
}
