/** `queuepair perftest` on the soft device and the stock tools of perftest on rxe0, each as server and as client. */
import { PERFTEST_TRAITS, type PerftestName } from '../../../src/cli/perftest/perftest-tests.js';
import { lastLines } from '../commands.js';
import type { Machine } from '../machine.js';
import { HERE, IP_VERSIONS, type IpVersion, THERE } from '../network.js';
import { resultOf, startQueuepair, TIMEOUT_MILLIS } from '../programs.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';
import { findGidIndex, startStockServer } from '../stock-tools.js';

const PORT = 18516;
/** Few: in an emulated machine each takes milliseconds. Sizes are of one packet, and of many. */
const ROUNDS: readonly (readonly [name: PerftestName, sizeBytes: number, iterations: number])[] = [
  ['send-lat', 2, 300],
  ['send-lat', 20_000, 100],
  ['send-bw', 65_536, 150],
  ['send-bw', 64, 600],
  ['write-bw', 65_536, 150],
  ['write-bw', 64, 600],
  ['read-lat', 2, 300],
  ['read-lat', 20_000, 100],
];

interface Round {
  readonly name: PerftestName;
  readonly ip: IpVersion;
  readonly sizeBytes: number;
  readonly iterations: number;
  /** Of rxe0. */
  readonly gidIndex: number;
}

export async function perftest({ machine, results }: Lab): Promise<void> {
  for (const ip of IP_VERSIONS) {
    const gidIndex = await findGidIndex(machine, ip);
    for (const [name, sizeBytes, iterations] of ROUNDS) {
      const round = { name, ip, sizeBytes, iterations, gidIndex };
      const what = `${PERFTEST_TRAITS[name].stockTool} IPv${ip} ${sizeBytes} bytes`;
      await results.run(`queuepair client, stock server, ${what}`, {}, () => withStockServer(machine, round));
      await results.run(`stock client, queuepair server, ${what}`, {}, () => withStockClient(machine, round));
    }
  }
}

async function withStockServer(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = await startStockServer(machine, stockCommand(round, ''), PORT);
  const own = startQueuepair([...queuepairArguments(device, round), THERE[4]]);
  const text = `queuepair ${await describeOwn(round, own)}`;
  const stock = await server.output;
  // A server that only lends its memory measures nothing; that of ib_write_bw is told what the client measured.
  return round.name === 'read-lat' ? text : `${text}, stock ${describeStock(round, stock)}`;
}

async function withStockClient(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = startQueuepair([...queuepairArguments(device, round), '--bind', HERE[4]]);
  server.events.catch(() => {});
  await server.listening;
  const stock = await machine.runOrThrow(stockCommand(round, HERE[4]), TIMEOUT_MILLIS);
  const text = `stock ${describeStock(round, stock)}`;
  if (round.name !== 'read-lat') return `${text}, queuepair ${await describeOwn(round, server)}`;
  await server.events;
  return text;
}

const queuepairArguments = (device: string, { name, sizeBytes, iterations }: Round): (string | number)[] => [
  ...['perftest', name, '--json', '-d', device, '-p', PORT],
  ...['-s', sizeBytes, '-n', iterations, '--timeout', 30_000],
];

/** -F: the emulated machine has no steady clock rate, which the tools would complain about. */
const stockCommand = ({ name, sizeBytes, iterations, gidIndex }: Round, host: string): string =>
  `${PERFTEST_TRAITS[name].stockTool} -F -d rxe0 -x ${gidIndex} -s ${sizeBytes} -n ${iterations} -p ${PORT} ${host}`;

async function describeOwn({ name }: Round, running: ReturnType<typeof startQueuepair>): Promise<string> {
  const { isLatency } = PERFTEST_TRAITS[name];
  const value = await resultOf(running, isLatency ? 'p50' : 'average');
  return isLatency ? `${value.toFixed(0)} µs` : `${value.toFixed(1)} MiB/s`;
}

/** The line of numbers: bytes, iterations, then for latencies min, max and typical, else peak and average. */
export function describeStock(
  { name, sizeBytes, iterations }: Pick<Round, 'name' | 'sizeBytes' | 'iterations'>,
  output: string,
): string {
  const line = output.split('\n').find((text) => /^\s*\d+\s+\d+\s+[\d.]+\s+[\d.]+/.test(text));
  const [bytes, count, , second, third] = (line ?? '').trim().split(/\s+/).map(Number);
  if (bytes !== sizeBytes || count !== iterations) {
    throw new Error(`the stock tool printed no result: ${lastLines(output, 3)}`);
  }
  return PERFTEST_TRAITS[name].isLatency ? `${third} µs` : `${second} MiB/s`;
}
