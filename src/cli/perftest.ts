/** `queuepair perftest`: plays ib_send_lat and its relatives over any device, with the stock tool on the other side. */
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { openDevice } from '../open-device.js';
import type { Device } from '../verbs/device.js';
import type { PathMtu } from '../verbs/mtu.js';
import { bytesArgument, countArgument, millisArgument, portArgument } from './arguments.js';
import { nearOf } from './local-address.js';
import { createOutput, type Output } from './output.js';
import { CmPerftestMeeting } from './perftest/cm-perftest-meeting.js';
import { PerftestEnd } from './perftest/perftest-end.js';
import { PerftestExchange } from './perftest/perftest-exchange.js';
import type { PerftestMeeting } from './perftest/perftest-meeting.js';
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
import { TcpPerftestMeeting } from './perftest/tcp-perftest-meeting.js';
import { ProgramCommand } from './program-command.js';
import { checkStockPort, gidIndexArgument, mtuArgument } from './stock-tool.js';
import { WrongArguments } from './wrong-arguments.js';

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
  $ queuepair perftest send-lat -R -d soft:127.0.0.2 127.0.0.1    a client of a server with -R

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
  readonly rdmaCm?: boolean;
  readonly bind?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export function perftestCommand(): Command {
  return new ProgramCommand('perftest')
    .description('measure with ib_send_lat, ib_send_bw, ib_write_bw or ib_read_lat on the other side')
    .addArgument(
      new Argument('<test>', 'what to measure, also as the stock tool is called')
        .choices(PERFTEST_NAMES)
        .argParser(testArgument),
    )
    .argument('[host]', 'server to measure with (default: be the server, for one client)')
    .option('-d, --device <name>', 'device to use', 'soft')
    .option('-p, --port <port>', 'TCP port of the exchange', portArgument, STANDARD_PORT)
    .option('-s, --size <bytes>', 'size of a message', sizeArgument)
    .option('-m, --mtu <bytes>', 'largest path MTU (default: that of the device)', mtuArgument)
    .option('-n, --iters <count>', 'operations', countArgument(MAX_ITERATIONS))
    .option('-t, --tx-depth <count>', 'sends under way', countArgument(MAX_DEPTH))
    .option('-r, --rx-depth <count>', 'receives posted at a time', countArgument(MAX_DEPTH), 512)
    .option('-x, --gid-index <index>', 'GID to use (default: the first RoCE v2 one)', gidIndexArgument)
    .option('-R, --rdma-cm', 'meet by rdma_cm, as the stock tools with -R; -p is then one of its ports')
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
    throw new WrongArguments('a latency is measured between 2 operations or more');
  const device = await openDevice(
    flags.device,
    flags.rdmaCm === true ? await nearOf(host ?? flags.bind) : {},
  );
  let meeting: PerftestMeeting | undefined;
  let end: PerftestEnd | undefined;
  try {
    const { activeMtu } = await checkStockPort(device, traits.stockTool);
    meeting = await meet(device, host, flags, output);
    const exchange = new PerftestExchange(meeting);
    const terms = await exchange.agree(flags.mtu ?? activeMtu);
    end = await openEnd(device, test, flags, terms);
    const receives = traits.isTwoSided ? new Receives(end, iterations) : undefined;
    const remote = await bringUp(meeting, exchange, end);
    output.event({
      event: 'connected',
      test,
      mtu: terms.mtu,
      local: plain(end.record),
      remote: plain(remote),
    });
    meeting.setPatient(true);
    await measure({ test, end, exchange, receives, remote, iterations, output });
    await meeting.finish();
  } finally {
    await meeting?.close();
    await end?.close();
    await device.close();
  }
}

function meet(
  device: Device,
  host: string | undefined,
  { port, timeout, bind, rdmaCm = false }: Flags,
  output: Output,
): Promise<PerftestMeeting> {
  const cm = { port, timeoutMillis: timeout };
  if (host !== undefined) {
    return rdmaCm
      ? CmPerftestMeeting.connect(device, host, cm)
      : TcpPerftestMeeting.connect(host, port, timeout);
  }
  const onListening = (bound: number): void => {
    output.event({ event: 'listening', port: bound });
    output.line(`waiting for a client on ${rdmaCm ? `port ${bound} of rdma_cm` : `TCP port ${bound}`}`);
  };
  return rdmaCm
    ? CmPerftestMeeting.accept(device, bind, cm, onListening)
    : TcpPerftestMeeting.accept(bind, port, timeout, onListening);
}

/** Takes the queue pair that is measured to RTS, in step with the peer; returns what that said of its own. */
async function bringUp(
  meeting: PerftestMeeting,
  exchange: PerftestExchange,
  end: PerftestEnd,
): Promise<PerftestRecord> {
  const { recordsBefore, recordsAfter } = end.options.traits;
  if (meeting instanceof CmPerftestMeeting) {
    await exchange.swapBlank();
    await meeting.connectMeasured(end.endpoint);
    await exchange.swapBlank();
    return exchange.swapRecords(end.record, recordsBefore + recordsAfter);
  }
  const remote = await exchange.swapRecords(end.record, recordsBefore);
  await end.connect(remote);
  await exchange.swapRecords(end.record, recordsAfter);
  return remote;
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

function testArgument(text: string): PerftestName {
  const test = PERFTEST_NAMES.find((name) => name === text || PERFTEST_TRAITS[name].stockTool === text);
  if (test === undefined) throw new InvalidArgumentError('no such test');
  return test;
}

function sizeArgument(text: string): number {
  const size = bytesArgument(text);
  if (size >= 1 && size <= MAX_SIZE_BYTES) return size;
  throw new InvalidArgumentError(`a message has 1 to ${MAX_SIZE_BYTES} bytes`);
}
