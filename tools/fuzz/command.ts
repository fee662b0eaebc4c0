/**
 * The fuzzer as a command: hostile packets, frames, calls and message fragments against the code of src/, in as many threads as
 * asked for. Progress goes to standard error; with `--json`, results go to standard output, the totals last. Exits with
 * 1 when anything crashed, after saving the input and printing the command that replays it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { ProgressLine } from '../../src/cli/progress-line.js';
import { runTool } from '../command-line.js';
import { type Crash, crashReport, describeCrash, saveInput } from './crash.js';
import { type FuzzTotals, runFuzzer } from './fuzz-run.js';
import { type FuzzOptions, parseOptions, usage } from './options.js';
import { watchForStrays } from './strays.js';
import { type CatalogEntry, Finding, loadCatalog, runWhole } from './target.js';

const say = (text: string): void => void process.stderr.write(text);

/** Runs it with the arguments of this process, and sets the exit code. `catalogUrl` names the module with the targets. */
export async function runCommand(catalogUrl: string): Promise<void> {
  const names = Object.keys((await loadCatalog(catalogUrl)).TARGETS);
  await runTool(usage(names), async (args) => {
    const options = parseOptions(args, names);
    return options.replay === undefined
      ? fuzz(options, catalogUrl)
      : replay(options, options.replay, catalogUrl);
  });
}

async function fuzz(options: FuzzOptions, catalogUrl: string): Promise<number> {
  const startedAt = performance.now();
  say(`seed ${options.seed}\n`);
  const progress = new ProgressLine('tried', options.count);
  const counts = new Map<string, number>();
  const totals = await runFuzzer(options, catalogUrl, {
    onProgress: (thread, target, count, corpus) => {
      if (!process.stderr.isTTY) say(`thread ${thread}: ${target} ${count}, corpus ${corpus}\n`);
      counts.set(`${thread} ${target}`, count);
      progress.update([...counts.values()].reduce((sum, one) => sum + one, 0));
    },
    onCrash: (crash) => {
      progress.end();
      reportCrash(crash, options);
    },
  });
  progress.end();
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
  return report(totals, options, seconds);
}

function reportCrash(crash: Crash, options: FuzzOptions): void {
  const path = saveInput(options.artifacts, crash.target, crash.input);
  say(`\n${crashReport(crash, path)}\n`);
  if (!options.json) return;
  const input = Buffer.from(crash.input).toString('hex');
  print({ event: 'crash', target: crash.target, message: crash.message, stack: crash.stack, input, path });
}

function report(totals: FuzzTotals, options: FuzzOptions, seconds: number): number {
  const sum = { count: 0, crashes: 0, corpus: 0, edges: totals.edges.size, seconds };
  for (const { count, crashes, corpus } of totals.targets.values()) {
    sum.count += count;
    sum.crashes += crashes;
    sum.corpus += corpus;
  }
  const targets = Object.fromEntries(totals.targets);
  if (options.json) print({ ...sum, seed: options.seed, targets });
  for (const [name, { count, inputs, corpus, crashes }] of totals.targets) {
    say(`${name}: ${count} tried in ${inputs} inputs, corpus ${corpus}, ${crashes} crashes\n`);
  }
  say(`${sum.count} tried in ${seconds} s, ${sum.crashes} crashes, ${sum.edges} parts of the code reached\n`);
  return sum.crashes === 0 ? 0 : 1;
}

async function replay(options: FuzzOptions, source: string, catalogUrl: string): Promise<number> {
  const name = options.targets[0] as string;
  const input = existsSync(source) ? readFileSync(source) : Buffer.from(source, 'hex');
  watchForStrays();
  const { create } = (await loadCatalog(catalogUrl)).TARGETS[name] as CatalogEntry;
  try {
    const count = await inTime(runWhole(await create(), new Uint8Array(input)), options.hangMillis);
    say(`the input came through: ${count} tried\n`);
    return 0;
  } catch (error) {
    const crash = describeCrash(name, new Uint8Array(input), error);
    say(crashReport(crash, source));
    return 1;
  }
}

/** An input that waits for what never comes would end the process without a word. */
async function inTime(run: Promise<number>, millis: number): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Finding('the input waits for ever')), millis);
  });
  try {
    return await Promise.race([run, late]);
  } finally {
    clearTimeout(timer);
  }
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
