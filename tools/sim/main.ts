/**
 * `npm run sim`: runs seeds of the simulation of queue pairs, of connections, of communication managers, of rsockets or of NVMe hosts on worker threads, and
 * says which promises were broken and what no seed has reached. Exit code 1 for either; what was not reached is judged in long runs only.
 */

import { Worker } from 'node:worker_threads';
import { ProgressLine } from '../../src/cli/progress-line.js';
import { runTool } from '../command-line.js';
import { Marks } from './marks.js';
import { COMMUNICATION_MANAGERS, CONNECTIONS, type Mode, NVME_HOSTS, QUEUE_PAIRS, RSOCKETS } from './mode.js';
import { type Options, parseOptions, USAGE } from './options.js';

const SHRINK_MILLIS = 30_000;
const PROGRESS_MILLIS = 1000;
/** The rest is counted only. */
const SHOWN_FAILURES = 10;

interface Report {
  readonly seed: number;
  readonly failure: string | null;
  readonly packets: number;
  readonly marks: [string, number][];
}

interface Summary {
  readonly failures: { seed: number; failure: string }[];
  readonly marks: Marks;
  packets: number;
  done: number;
}

const replay = (mode: Mode, seed: number): string => `npm run sim -- ${mode.flag}--seed ${seed} --shrink`;

function runAll(mode: Mode, options: Options, summary: Summary): Promise<void> {
  const total = options.last - options.first + 1;
  let next = options.first;
  let shownAt = Date.now();
  const progress = new ProgressLine('seeds', total);
  const onReport = (report: Report): void => {
    summary.done++;
    summary.packets += report.packets;
    summary.marks.add(report.marks);
    if (report.failure !== null) {
      summary.failures.push({ seed: report.seed, failure: report.failure });
      if (options.json)
        print({ seed: report.seed, failure: report.failure, replay: replay(mode, report.seed) });
      else if (summary.failures.length <= SHOWN_FAILURES)
        process.stderr.write(
          `\nseed ${report.seed}: ${report.failure}\n  replay: ${replay(mode, report.seed)}\n`,
        );
    }
    if (process.stderr.isTTY) progress.update(summary.done);
    if (process.stderr.isTTY || Date.now() - shownAt < PROGRESS_MILLIS) return;
    shownAt = Date.now();
    process.stderr.write(`\r${summary.done} of ${total} seeds, ${summary.failures.length} failures `);
  };
  return new Promise((resolve, reject) => {
    let running = 0;
    for (let i = 0; i < Math.min(options.jobs, total); i++) {
      const worker = new Worker(mode.worker);
      running++;
      const feed = (): void => {
        if (next <= options.last) {
          worker.postMessage(next++);
          return;
        }
        void worker.terminate();
        if (--running > 0) return;
        progress.end();
        resolve();
      };
      worker.on('message', (report: Report) => {
        onReport(report);
        feed();
      });
      worker.on('error', reject);
      feed();
    }
  });
}

const print = (value: object): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};

async function shrinkFirst(mode: Mode, summary: Summary, options: Options): Promise<void> {
  const [first] = summary.failures;
  if (first === undefined) return;
  const { scenario, failure } = await mode.shrink(first.seed, first.failure, SHRINK_MILLIS);
  if (options.json) print({ shrunk: scenario, failure });
  else process.stderr.write(`\nshrunk: ${failure}\n${JSON.stringify(scenario, null, 1)}\n`);
}

function modeOf({ cm, connections, rsocket, nvme }: Options): Mode {
  if (cm) return COMMUNICATION_MANAGERS;
  if (connections) return CONNECTIONS;
  if (nvme) return NVME_HOSTS;
  return rsocket ? RSOCKETS : QUEUE_PAIRS;
}

async function main(options: Options): Promise<number> {
  const started = Date.now();
  const summary: Summary = { failures: [], marks: new Marks(), packets: 0, done: 0 };
  const mode = modeOf(options);
  await runAll(mode, options, summary);
  process.stderr.write('\n');
  if (options.shrink) await shrinkFirst(mode, summary, options);
  const { counts } = summary.marks;
  const isJudged = summary.done >= mode.seedsForMarks;
  const unhit = mode.wanted.filter((name) => !counts.has(name));
  const seconds = (Date.now() - started) / 1000;
  const marks = Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  const failures = summary.failures.length;
  if (options.json)
    print({
      seeds: summary.done,
      failures,
      marks,
      marksJudged: isJudged,
      unhit: isJudged ? unhit : [],
      packets: summary.packets,
      seconds,
    });
  else {
    if (options.verbose)
      for (const [name, count] of Object.entries(marks)) process.stdout.write(`${name}: ${count}\n`);
    const reached = isJudged
      ? `${mode.wanted.length - unhit.length} of ${mode.wanted.length} marks hit`
      : `marks are judged from ${mode.seedsForMarks} seeds on`;
    const others = failures - SHOWN_FAILURES;
    if (others > 0) process.stderr.write(`and ${others} more seeds that failed\n`);
    process.stdout.write(
      `${summary.done} seeds (${options.first}..${options.last}), ${failures} failures, ${summary.packets} packets, ${reached}, ${seconds} s\n`,
    );
    if (isJudged && unhit.length > 0) process.stdout.write(`never hit: ${unhit.join(', ')}\n`);
  }
  return failures > 0 || (isJudged && unhit.length > 0) ? 1 : 0;
}

await runTool(USAGE, (args) => main(parseOptions(args)));
