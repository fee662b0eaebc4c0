/** `queuepair stats`: reads the metrics of a running server, and shows what changes and how fast. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { cleanText } from '../session/clean-text.js';
import { socketFault } from '../session/tls-errors.js';
import { RdmaError } from '../verbs/errors.js';
import { countArgument, millisArgument } from './arguments.js';
import { ExitCode } from './failure.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { firstSignal, signalExitCode } from './shutdown.js';
import { compare, type Reading, readMetrics, type Sample } from './stats/metrics-text.js';

const OWN = /^queuepair_/;
const BUCKET = /_bucket\{/;
const TIMEOUT_MILLIS = 5000;
const MAX_TEXT_BYTES = 8 * 1024 * 1024;
const MAX_NAME_CHARS = 300;

const EXAMPLES = `
A server shows its metrics on 127.0.0.1 only (queuepair serve --metrics 9100); from elsewhere, bring that port here:
  $ ssh -NL 9100:127.0.0.1:9100 storage-7

Examples:
  $ queuepair stats 9100                       what is not 0, and rates over one second
  $ queuepair stats 9100 --count 60 --json     a minute of it for a script
  $ queuepair stats http://127.0.0.1:9100/metrics --all`;

interface StatsFlags {
  readonly interval: number;
  readonly count?: number;
  readonly all?: boolean;
  readonly json?: boolean;
}

export function statsCommand(): Command {
  return new ProgramCommand('stats')
    .description('show the counters of a running server, and how fast they grow')
    .argument('<target>', 'PORT, HOST:PORT or URL of its metrics', urlArgument)
    .option('--interval <ms>', 'between two looks', millisArgument, 1000)
    .option(
      '--count <number>',
      'looks; without it one, or on a terminal until Ctrl-C',
      countArgument(1_000_000),
    )
    .option('--all', 'also what is 0, buckets of histograms, and the process')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (url: URL, flags: StatsFlags) => {
      process.exitCode = await watch(url, flags, createOutput(flags.json === true));
    });
}

/** A host alone would be asked at the port of the web, where no server shows its metrics. */
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/^\d+$/, 'http://127.0.0.1:'],
  [/^https?:\/\//, ''],
  [/^[^/]+:\d+(\/|$)/, 'http://'],
];

function urlArgument(text: string): URL {
  const [, before] = PLACES.find(([place]) => place.test(text)) ?? [];
  if (before === undefined || !URL.canParse(before + text))
    throw new InvalidArgumentError('write PORT, HOST:PORT or a URL');
  const url = new URL(before + text);
  if (url.pathname === '/') url.pathname = '/metrics';
  return url;
}

async function watch(url: URL, flags: StatsFlags, output: Output): Promise<number> {
  const stop = new AbortController();
  let exitCode: number = ExitCode.OK;
  void firstSignal().then((signal) => {
    // Whoever watches for as long as it takes ends it so.
    if (flags.count !== undefined || signal !== 'SIGINT') exitCode = signalExitCode(signal);
    stop.abort();
  });
  const isLive = flags.count === undefined && !output.json && process.stdout.isTTY === true;
  const looks = flags.count ?? (isLive ? Number.POSITIVE_INFINITY : 1);
  let before = await fetchMetrics(url, stop.signal);
  let at = performance.now();
  for (let look = 0; look < looks && !stop.signal.aborted; look++) {
    try {
      await sleep(flags.interval, undefined, { signal: stop.signal });
      const now = await fetchMetrics(url, stop.signal);
      const seconds = (performance.now() - at) / 1000;
      at = performance.now();
      // Looks that stay on the screen are told apart.
      if (looks > 1 && !isLive)
        output.line(`${look === 0 ? '' : '\n'}${timeOfDay()}, over ${seconds.toFixed(1)} s`);
      show(compare(before, now, seconds), seconds, flags, output, isLive);
      before = now;
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  }
  return exitCode;
}

async function fetchMetrics(url: URL, signal: AbortSignal): Promise<Map<string, Sample>> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLIS)]),
    });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const samples = readMetrics(await beginningOf(response));
    if (samples.size === 0) throw new Error('it shows no metrics');
    return samples;
  } catch (error) {
    const { cause, message } = error as Error;
    const isOfSocket = cause instanceof Error;
    const fault = isOfSocket ? socketFault(cause) : undefined;
    const why = fault === undefined ? (isOfSocket ? cause.message : message) : `its server ${fault}`;
    throw new RdmaError(
      'ERR_RDMA_CONNECTION_LOST',
      `cannot read ${url.href}: ${why}; a server shows its metrics with: queuepair serve --metrics ${url.port || '9100'}`,
      { cause: error },
    );
  }
}

/** What comes behind so many bytes is not waited for. */
async function beginningOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= MAX_TEXT_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}

function show(
  readings: readonly Reading[],
  seconds: number,
  { all }: StatsFlags,
  output: Output,
  isLive: boolean,
): void {
  const wanted = readings.filter(
    ({ name, value }) => all === true || (OWN.test(name) && !BUCKET.test(name) && value !== 0),
  );
  const values = Object.fromEntries(wanted.map(({ name, value }) => [name, value]));
  const rates = Object.fromEntries(
    wanted.flatMap(({ name, perSecond }) => (perSecond === null ? [] : [[name, round(perSecond)]])),
  );
  output.event({ event: 'stats', time: new Date().toISOString(), seconds: round(seconds), values, rates });
  if (isLive) process.stdout.write('\x1b[H\x1b[J');
  const rows = wanted.map(({ name, value, perSecond }) => [
    cleanText(name.replace(OWN, ''), MAX_NAME_CHARS),
    numberText(value),
    perSecond === null ? '' : `${numberText(perSecond)}/s`,
  ]);
  const width = Math.max(0, ...rows.map(([name = '']) => name.length));
  for (const [name = '', value = '', rate = ''] of rows)
    output.line(`${name.padEnd(width)}  ${value.padStart(16)}  ${rate.padStart(16)}`.trimEnd());
}

const timeOfDay = (): string => new Date().toLocaleTimeString('en-GB');

const round = (value: number): number => Math.round(value * 1000) / 1000;

const numberText = (value: number): string =>
  Number.isInteger(value)
    ? value.toLocaleString('en-US')
    : value.toLocaleString('en-US', { maximumFractionDigits: 2 });
