/** `queuepair devices`: which devices this machine has and what they can do. */
import type { Command } from 'commander';
import { type DeviceKind, lookAround, openDevice } from '../open-device.js';
import type { DeviceAttributes, GidEntry, PortAttributes } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import { ExitCode, failureEvent, failureLine } from './failure.js';
import { formatBytes } from './format.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';

const EXAMPLES = `
Examples:
  $ queuepair devices
  $ queuepair devices soft:::1 soft:192.0.2.7     these, though they are not listed: any address of this machine works
  $ queuepair devices --json`;

const EXACT =
  'exact: packets leave with the ICRC that the wire format asks for; RNICs and Linux rdma_rxe accept them';
const INEXACT =
  'not exact: the operating system chooses an IPv4 field that the ICRC covers and does not tell it; ' +
  'other soft devices cope, RNICs and Linux rdma_rxe drop the packets (use an IPv6 address or the addon)';

interface DeviceReport {
  readonly name: string;
  readonly kind: string;
  readonly port: PortAttributes;
  readonly gids: readonly GidEntry[];
  readonly attributes: DeviceAttributes;
}

export function devicesCommand(): Command {
  return new ProgramCommand('devices')
    .description('list the RDMA devices with their addresses and limits')
    .argument('[names...]', 'devices to look at (default: all that are found)')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (names: string[], flags: { json?: boolean }) => {
      process.exitCode = await devices(names, createOutput(flags.json === true));
    });
}

async function devices(names: readonly string[], output: Output): Promise<number> {
  const kinds = await lookAround();
  const wanted = names.length > 0 ? names : kinds.flatMap((kind) => kind.names);
  let exitCode: number = ExitCode.OK;
  for (const [index, name] of wanted.entries()) {
    try {
      const report = await inspect(name);
      output.event({ event: 'device', ...report });
      if (index > 0) output.line();
      print(report, kinds, output);
    } catch (error) {
      if (!(error instanceof RdmaError)) throw error;
      // One device that cannot be opened must not hide the others.
      output.event({ ...failureEvent(error), name });
      process.stderr.write(`queuepair: ${name}: ${failureLine(error)}\n`);
      exitCode = ExitCode.FAILED;
    }
  }
  if (names.length === 0) {
    for (const { missing } of kinds) if (missing !== undefined) output.line(`\n${missing}`);
  }
  return exitCode;
}

async function inspect(name: string): Promise<DeviceReport> {
  const device = await openDevice(name);
  try {
    return {
      name: device.name,
      kind: device.kind,
      port: await device.queryPort(),
      gids: await device.queryGids(),
      attributes: device.attributes,
    };
  } finally {
    await device.close();
  }
}

function print(report: DeviceReport, kinds: readonly DeviceKind[], { line, style }: Output): void {
  const { port, attributes } = report;
  const description = kinds.find(({ kind }) => kind === report.kind)?.description ?? report.kind;
  line(`${style.bold(report.name)}  ${description}`);
  const row = (title: string, text: string): void => line(`  ${title.padEnd(10)}  ${text}`);
  row('port 1', `${port.state}, ${port.linkLayer}, UDP port ${port.udpPort}, LID ${port.lid}`);
  row(
    'path MTU',
    `${port.activeMtu} bytes of payload a packet; messages up to ${formatBytes(port.maxMessageBytes)}`,
  );
  for (const { index, gid, type } of report.gids) row(`GID ${index}`, `${gid} (${type})`);
  row('ICRC', port.exactIcrc ? EXACT : INEXACT);
  row(
    'limits',
    `${attributes.maxQps} queue pairs of ${attributes.maxQpWr} requests with ${attributes.maxSge} pieces each`,
  );
  row(
    '',
    `${attributes.maxCqs} completion queues of ${attributes.maxCqe}, ${attributes.maxPds} protection domains`,
  );
  row('', `${attributes.maxMrs} memory regions of up to ${formatBytes(attributes.maxMrBytes)}`);
  row('', `${attributes.maxQpRdAtom} reads and atomics at a time, ${attributes.maxInlineData} bytes inline`);
  const { maxSrqs, maxSrqWr, maxMws } = attributes;
  row('', maxSrqs > 0 ? `${maxSrqs} shared receive queues of ${maxSrqWr}` : 'no shared receive queues');
  row('', maxMws > 0 ? `${maxMws} memory windows` : 'no memory windows');
  row('atomics', attributes.atomics ? 'yes' : 'no');
}
