/**
 * What JavaScript adds to a round trip over the kernel's stack: `queuepair pingpong` and `queuepair perftest send-lat`
 * over rxe0 against the stock tools, in the same machine, in turns. Both ends of a run are alike: ours with ours, stock
 * with stock, and both do and wait for the same. What counts is the ratio of the two runs of a round, which met the same
 * machine; the median of these above the goal is a failed case. Sleepers have no goal: they are told for comparison.
 */
import { PERFTEST_TRAITS } from '../../../src/cli/perftest/perftest-tests.js';
import { median } from '../../bench/statistics.js';
import { lastLines } from '../commands.js';
import type { Machine } from '../machine.js';
import { THERE } from '../network.js';
import {
  type ProgramArguments,
  type Running,
  resultOf,
  startQueuepairThere,
  TIMEOUT_MILLIS,
} from '../programs.js';
import type { Lab } from '../scenario.js';
import { findGidIndex, startStockServer } from '../stock-tools.js';
import { describeStock } from './perftest.js';

export const MAX_RATIO = 1.25;
const ROUNDS = 5;
/** Two ends that look again and again on one processor would wait for each other's time slices. */
const CPUS = { server: 0, client: 1 } as const;
/**
 * For those that look again and again: the kernel's own work comes first at any time. Otherwise it waits now and then for
 * the next tick of the clock, 4 ms, and whom that hits is chance.
 */
const YIELDING = ['chrt', '--idle', '0'];
const SEND_LATENCY_BYTES = PERFTEST_TRAITS['send-lat'].sizeBytes;
/** Each run has its own: a port that was just in use could still be listened at. */
const FIRST_PORT = 18_600;

type Mode = 'looking' | 'sleeping';

interface Comparison {
  readonly what: string;
  /** Look again and again, or sleep until something completes. */
  readonly mode: Mode;
  /** Without the port, and without the server's address. */
  stockCommand(gidIndex: number): string;
  /** Microseconds. */
  readStock(output: string): number;
  readonly ownArguments: ProgramArguments;
  /** The name of our result that is the same as theirs. */
  readonly ownResult: string;
}

/**
 * Microseconds of a round trip, the mean of a run: the stock tool tells no other. Ours leaves out the half in which it is
 * compiled; a program in C has none.
 */
const pingPong = (mode: Mode, iterations: number): Comparison => ({
  what: `ping-pong, ${mode}`,
  mode,
  stockCommand: (gidIndex) =>
    `ibv_rc_pingpong ${flagsOf(mode).join(' ')} -d rxe0 -g ${gidIndex} -n ${iterations}`,
  readStock: readPingpong,
  ownArguments: ['pingpong', '--no-check', '-n', iterations, '--warmup', iterations / 2, ...flagsOf(mode)],
  ownResult: 'microsPerIteration',
});

/** Microseconds of half a round trip, the median of a run. */
const sendLatency = (mode: Mode, iterations: number): Comparison => ({
  what: `send latency, ${mode}`,
  mode,
  // -I 0: nothing inline, as with ours. -F: the emulated machine has no steady clock rate.
  stockCommand: (gidIndex) =>
    `ib_send_lat -F -I 0 ${flagsOf(mode).join(' ')} -d rxe0 -x ${gidIndex} -n ${iterations}`,
  readStock: (output) =>
    Number.parseFloat(describeStock({ name: 'send-lat', sizeBytes: SEND_LATENCY_BYTES, iterations }, output)),
  ownArguments: ['perftest', 'send-lat', '-n', iterations, ...flagsOf(mode)],
  ownResult: 'p50',
});

const flagsOf = (mode: Mode): readonly string[] => (mode === 'sleeping' ? ['-e'] : []);

/** Many, because programs in JavaScript are compiled while they run. Messages have the size that the tools choose. */
const COMPARISONS = [
  pingPong('looking', 40_000),
  pingPong('sleeping', 1500),
  sendLatency('looking', 300_000),
  sendLatency('sleeping', 10_000),
];

export async function overhead({ machine, results, say }: Lab): Promise<void> {
  const gidIndex = await findGidIndex(machine, 4);
  let port = FIRST_PORT;
  for (const comparison of COMPARISONS) {
    await results.run(comparison.what, {}, async () => {
      const stock: number[] = [];
      const own: number[] = [];
      // The first one does not count: it brings programs and libraries into the machine's memory.
      for (let round = 0; round <= ROUNDS; round++) {
        const stockMicros = await runStock(machine, comparison, gidIndex, port++);
        const ownMicros = await runOwn(machine, comparison, port++);
        if (round > 0) {
          stock.push(stockMicros);
          own.push(ownMicros);
        }
        say(
          `${comparison.what}, round ${round}: stock ${stockMicros} µs, queuepair ${ownMicros.toFixed(2)} µs`,
        );
      }
      return comparison.mode === 'looking' ? judge(stock, own) : describe(stock, own);
    });
  }
}

/** @throws Error when ours take longer than the goal. */
export function judge(stock: readonly number[], own: readonly number[]): string {
  const text = `${describe(stock, own)}, goal ${MAX_RATIO}`;
  if (ratioOf(stock, own) <= MAX_RATIO) return text;
  throw new Error(text);
}

/** The median of the rounds' ratios. */
const ratioOf = (stock: readonly number[], own: readonly number[]): number =>
  median(own.map((micros, round) => micros / (stock[round] ?? Number.NaN)));

const describe = (stock: readonly number[], own: readonly number[]): string =>
  `queuepair ${median(own).toFixed(1)} µs, stock ${median(stock).toFixed(1)} µs, ` +
  `ratio ${ratioOf(stock, own).toFixed(2)}`;

async function runStock(
  machine: Machine,
  comparison: Comparison,
  gidIndex: number,
  port: number,
): Promise<number> {
  const command = `${comparison.stockCommand(gidIndex)} -p ${port}`;
  const prefix = (end: End): string => placeOf(comparison.mode, end).join(' ');
  const server = await startStockServer(machine, `${prefix('server')} ${command}`, port);
  const client = `${prefix('client')} ${command} ${THERE[4]}`;
  const output = await machine.runOrThrow(client, TIMEOUT_MILLIS);
  await server.output;
  return comparison.readStock(output);
}

async function runOwn(machine: Machine, comparison: Comparison, port: number): Promise<number> {
  const args = [...comparison.ownArguments, '--json', '-d', 'rxe0', '-p', port];
  const start = (end: End, ...more: readonly string[]): Running =>
    startQueuepairThere(machine, [...args, ...more], placeOf(comparison.mode, end));
  const server = start('server', '--bind', THERE[4]);
  await server.listening;
  const client = start('client', THERE[4]);
  const value = await resultOf(client, comparison.ownResult);
  await server.events;
  return value;
}

type End = keyof typeof CPUS;

/** The command that runs an end where it belongs. */
const placeOf = (mode: Mode, end: End): readonly string[] => [
  ...(mode === 'looking' ? YIELDING : []),
  ...['taskset', '-c', String(CPUS[end])],
];

function readPingpong(output: string): number {
  const [, micros] = /([\d.]+) usec\/iter/.exec(output) ?? [];
  if (micros === undefined) throw new Error(`ibv_rc_pingpong printed no result: ${lastLines(output, 2)}`);
  return Number(micros);
}
