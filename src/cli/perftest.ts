/** `queuepair perftest`: plays ib_send_lat and its relatives over any device, with the stock tool on the other side. */
import { Argument, Command, InvalidArgumentError } from 'commander';
import { openDevice } from '../open-device.js';
import type { Device } from '../verbs/device.js';
import { usageError } from '../verbs/errors.js';
import type { PathMtu } from '../verbs/mtu.js';
import { bytesArgument, countArgument, millisArgument, portArgument } from './arguments.js';
import { createOutput, type Output } from './output.js';
import { PerftestEnd } from './perftest/perftest-end.js';
import { PerftestExchange } from './perftest/perftest-exchange.js';
import { bandwidthLine, bandwidthOf, headOf, latencyLine, latencyOf } from './perftest/perftest-report.js';
import {
  pushBandwidth,
  Receives,
  readLatency,
  sendLatency,
  type Timeline,
  takeBandwidth,
} from './perftest/perftest-runs.js';
import { PERFTEST_NAMES, PERFTEST_TRAITS, type PerftestName } from './perftest/perftest-tests.js';
import type { BandwidthReport, PerftestRecord } from './perftest/perftest-wire.js';
import { checkStockPort, gidIndexArgument, mtuArgument } from './stock-tool.js';

const STANDARD_PORT = 18515;
const MAX_ITERATIONS = 100_000_000;
const MAX_SIZE_BYTES = 2 ** 28;
const MAX_DEPTH = 16_384;

const EXAMPLES = `
Measurements, with what they play with:
  send-lat   ib_send_lat    half a round trip of messages     write-bw   ib_write_bw   RDMA WRITEs, many under way
  send-bw    ib_send_bw     SENDs, many under way             read-lat   ib_read_lat   an RDMA READ

Examples:
  $ queuepair perftest send-lat -d soft:127.0.0.1                 a server, waiting for a client
  $ queuepair perftest send-lat -d soft:127.0.0.2 127.0.0.1       a client of it, in another terminal
  $ ib_send_lat -d rxe0 -x 1 192.0.2.7                            the stock tool as the client of 192.0.2.7

Size and iterations must be the same on both sides, as with the stock tools, which need -x. Without -n and -s they are
those of the stock tool. Both sides use UDP port 4791.`;

interface Flags {
  readonly device: string;
  readonly port: number;
  readonly size?: number;
  readonly mtu?: PathMtu;
  readonly iters?: number;
  readonly txDepth?: number;
  readonly rxDepth: number;
  readonly gidIndex?: number;
  readonly events?: boolean;
  readonly bind?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export function perftestCommand(): Command {
  return new Command('perftest')
    .description('measure with ib_send_lat, ib_send_bw, ib_write_bw or ib_read_lat on the other side')
    .addArgument(new Argument('<test>', 'what to measure').choices(PERFTEST_NAMES))
    .argument('[host]', 'server to measure with (default: be the server, for one client)')
    .option('-d, --device <name>', 'device to use', 'soft')
    .option('-p, --port <port>', 'TCP port of the exchange', portArgument, STANDARD_PORT)
    .option('-s, --size <bytes>', 'size of a message', sizeArgument)
    .option('-m, --mtu <bytes>', 'largest path MTU (default: that of the device)', mtuArgument)
    .option('-n, --iters <count>', 'operations', countArgument(MAX_ITERATIONS))
    .option('-t, --tx-depth <count>', 'sends under way', countArgument(MAX_DEPTH))
    .option('-r, --rx-depth <count>', 'receives posted at a time', countArgument(MAX_DEPTH), 512)
    .option('-x, --gid-index <index>', 'GID to use (default: the first RoCE v2 one)', gidIndexArgument)
    .option('-e, --events', 'sleep until something completes (default: look again and again)')
    .option('--bind <address>', 'address to listen on as the server (default: all)')
    .option('--timeout <ms>', 'give up when nothing happens for so long', millisArgument, 10_000)
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action((test: PerftestName, host: string | undefined, flags: Flags) =>
      perftest(test, host, flags, createOutput(flags.json === true)),
    );
}

async function perftest(
  test: PerftestName,
  host: string | undefined,
  flags: Flags,
  output: Output,
): Promise<void> {
  const traits = PERFTEST_TRAITS[test];
  const iterations = flags.iters ?? traits.iterations;
  if (traits.isLatency && iterations < 2)
    throw usageError('a latency is measured between 2 operations or more');
  const device = await openDevice(flags.device);
  let exchange: PerftestExchange | undefined;
  let end: PerftestEnd | undefined;
  try {
    const { activeMtu } = await checkStockPort(device, traits.stockTool);
    exchange = await meet(host, flags, output);
    const terms = await exchange.agree(flags.mtu ?? activeMtu);
    end = await openEnd(device, test, flags, terms);
    const receives = traits.isTwoSided ? new Receives(end, iterations) : undefined;
    const remote = await exchange.swapRecords(end.record, traits.recordsBefore);
    await end.connect(remote);
    await exchange.swapRecords(end.record, traits.recordsAfter);
    output.event({
      event: 'connected',
      test,
      mtu: terms.mtu,
      local: plain(end.record),
      remote: plain(remote),
    });
    await measure({ test, end, exchange, receives, remote, iterations, output });
    await exchange.finish();
  } finally {
    exchange?.close();
    await end?.close();
    await device.close();
  }
}

function meet(host: string | undefined, flags: Flags, output: Output): Promise<PerftestExchange> {
  if (host !== undefined) return PerftestExchange.connect(host, flags.port, flags.timeout);
  return PerftestExchange.accept(flags.bind, flags.port, flags.timeout, (port) => {
    output.event({ event: 'listening', port });
    output.line(`waiting for a client on TCP port ${port}`);
  });
}

function openEnd(
  device: Device,
  test: PerftestName,
  flags: Flags,
  terms: PerftestEnd['options']['terms'],
): Promise<PerftestEnd> {
  const traits = PERFTEST_TRAITS[test];
  return PerftestEnd.open(device, {
    traits,
    terms,
    sizeBytes: flags.size ?? traits.sizeBytes,
    sendDepth: flags.txDepth ?? traits.sendDepth,
    receiveDepth: traits.isTwoSided ? flags.rxDepth : 1,
    gidIndex: flags.gidIndex,
    useEvents: flags.events === true,
    timeoutMillis: flags.timeout,
  });
}

interface Measurement {
  readonly test: PerftestName;
  readonly end: PerftestEnd;
  readonly exchange: PerftestExchange;
  readonly receives: Receives | undefined;
  readonly remote: PerftestRecord;
  readonly iterations: number;
  readonly output: Output;
}

/** Runs it, tells the result, and keeps in step with the peer until both are done. */
async function measure(measurement: Measurement): Promise<void> {
  const { test, end, exchange, receives, remote, iterations, output } = measurement;
  const { sizeBytes } = end.options;
  const traits = PERFTEST_TRAITS[test];
  exchange.isPatient = true;
  let report: BandwidthReport | undefined;
  const timeline = await run(measurement);
  if (timeline !== undefined && traits.isLatency) {
    const result = latencyOf(timeline, traits);
    output.event({ event: 'result', test, sizeBytes, iterations, unit: 'µs', ...result });
    output.line(headOf(traits));
    output.line(latencyLine(sizeBytes, iterations, result));
  } else if (timeline !== undefined) report = bandwidthOf(timeline, sizeBytes, iterations);
  if (!traits.isTwoSided && !traits.isLatency) {
    await exchange.swapRecords(end.record, 1);
    const theirs = await exchange.swapReports(report ?? NO_REPORT);
    // Who only lends memory learns the result from the client.
    report ??= theirs;
  }
  if (report !== undefined) {
    output.event({ event: 'result', test, unit: 'MiB/s', ...report });
    output.line(headOf(traits));
    output.line(bandwidthLine(report));
  }
  await exchange.swapRecords(end.record, 1);
  if (receives === undefined && exchange.isServer && traits.isLatency) {
    output.event({ event: 'served', test, remote: plain(remote) });
  }
}

const NO_REPORT: BandwidthReport = { sizeBytes: 0, iterations: 0, peak: 0, average: 0, messageRate: 0 };

/** `undefined` for who only lends memory. */
async function run(measurement: Measurement): Promise<Timeline | undefined> {
  const { test, end, exchange, receives, remote, iterations } = measurement;
  const { isServer } = exchange;
  if (receives !== undefined) {
    if (test === 'send-lat') return sendLatency(end, iterations, isServer, receives);
    return isServer ? takeBandwidth(end, iterations, receives) : pushBandwidth(end, iterations, undefined);
  }
  if (isServer) return undefined;
  return test === 'read-lat' ? readLatency(end, iterations, remote) : pushBandwidth(end, iterations, remote);
}

/** As JSON takes it. */
const plain = ({ vaddr, ...record }: PerftestRecord): object => ({
  ...record,
  vaddr: `0x${vaddr.toString(16)}`,
});

function sizeArgument(text: string): number {
  const size = bytesArgument(text);
  if (size >= 1 && size <= MAX_SIZE_BYTES) return size;
  throw new InvalidArgumentError(`A message has 1 to ${MAX_SIZE_BYTES} bytes.`);
}
