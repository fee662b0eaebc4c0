/** `queuepair cm-probe`: who answers on a port of rdma_cm. */
import { type Command, InvalidArgumentError } from 'commander';
import { openDevice } from '../open-device.js';
import { NO_DATA, PrivateDataBytes } from '../verbs/connection-manager.js';
import { countArgument, millisArgument, type Target, targetArgument } from './arguments.js';
import { type ProbeAnswer, probe } from './cm-probe/probe.js';
import { describeAnswer, describePrivateData } from './cm-probe/probe-text.js';
import { ExitCode } from './failure.js';
import { nearOf } from './local-address.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { checkStockPort } from './stock-tool.js';

const MAX_COUNT = 1000;

const EXAMPLES = `
Examples:
  $ queuepair cm-probe 192.0.2.7:7174                    does an rping server listen there?
  $ queuepair cm-probe 192.0.2.7:4420                    an NVMe-oF target
  $ queuepair cm-probe 192.0.2.7:7174 --private-data 0x00ff --count 5

A server's program sees a client that asks for a connection and then gives it up. The port is one of rdma_cm: no TCP or
UDP port has to be open but UDP 4791.

Exit codes: 0 somebody listens, 1 nobody does or none answers, 2 wrong usage.`;

interface Flags {
  readonly device: string;
  readonly privateData: Uint8Array;
  readonly count: number;
  readonly timeout: number;
  readonly json?: boolean;
}

export function cmProbeCommand(): Command {
  return new ProgramCommand('cm-probe')
    .description('ask who answers on a port of rdma_cm: listener or not, round trip, private data')
    .argument('<host:port>', 'whom to ask', probeTarget)
    .option('-d, --device <name>', 'device to use', 'soft')
    .option(
      '--private-data <text>',
      'to send along: text, or hexadecimal after 0x',
      privateDataArgument,
      NO_DATA,
    )
    .option('--count <count>', 'how often to ask', countArgument(MAX_COUNT), 1)
    .option('--timeout <ms>', 'how long to wait for an answer', millisArgument, 3000)
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action((target: Target, flags: Flags) => cmProbe(target, flags, createOutput(flags.json === true)));
}

async function cmProbe({ host, port }: Target, flags: Flags, output: Output): Promise<void> {
  const device = await openDevice(flags.device, await nearOf(host));
  try {
    await checkStockPort(device, 'rdma_cm');
    const { privateData, timeout: timeoutMillis } = flags;
    let isListening = false;
    for (let i = 0; i < flags.count; i++) {
      const answer = await probe(device, { host, port, privateData, timeoutMillis });
      isListening ||= answer.isListening;
      tell(host, port, answer, output);
    }
    if (!isListening) process.exitCode = ExitCode.FAILED;
  } finally {
    await device.close();
  }
}

function tell(host: string, port: number, answer: ProbeAnswer, output: Output): void {
  const { privateData, ...plain } = answer;
  const hex = privateData === undefined ? {} : { privateData: Buffer.from(privateData).toString('hex') };
  output.event({ event: 'probe', host, port, ...plain, ...hex });
  output.line(describeAnswer(host, port, answer));
  if (privateData !== undefined) output.line(`  private data: ${describePrivateData(privateData)}`);
}

/** Ports of rdma_cm have no default. */
function probeTarget(text: string): Target {
  const target = targetArgument(text, ANY_PORT);
  if (targetArgument(text, ANY_PORT + 1).port === target.port) return target;
  throw new InvalidArgumentError('write HOST:PORT, with the port of rdma_cm that is to be asked');
}

const ANY_PORT = 1;

function privateDataArgument(text: string): Uint8Array {
  const isHex = /^0x(?:[\da-f]{2})*$/i.test(text);
  if (text.startsWith('0x') && !isHex) {
    throw new InvalidArgumentError('write pairs of hexadecimal digits after 0x');
  }
  const bytes = isHex ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text);
  if (bytes.length <= PrivateDataBytes.REQUEST) return bytes;
  throw new InvalidArgumentError(
    `a request has room for ${PrivateDataBytes.REQUEST} bytes, not ${bytes.length}`,
  );
}
