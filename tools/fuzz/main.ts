/**
 * `npm run fuzz`: hostile packets, frames, calls and message fragments against the code of src/, in as many threads as
 * asked for. Progress goes to standard error; with `--json`, results go to standard output, the totals last. Exits with
 * 1 when anything crashed, after saving the input and printing the command that replays it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type Crash, crashReport, describeCrash, saveInput } from './crash.js';
import { type FuzzTotals, runFuzzer } from './fuzz-run.js';
import { type FuzzOptions, parseOptions, USAGE } from './options.js';
import { watchForStrays } from './strays.js';
import { runWhole, type TargetName } from './target.js';
import { createTarget } from './targets.js';

const say = (text: string): void => void process.stderr.write(text);

async function main(args: readonly string[]): Promise<number> {
  let options: FuzzOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    say(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  return options.replay === undefined ? fuzz(options) : replay(options, options.replay);
}

async function fuzz(options: FuzzOptions): Promise<number> {
  const startedAt = performance.now();
  say(`seed ${options.seed}\n`);
  const totals = await runFuzzer(options, {
    onProgress: (thread, target, count, corpus) =>
      say(`thread ${thread}: ${target} ${count}, corpus ${corpus}\n`),
    onCrash: (crash) => reportCrash(crash, options),
  });
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

async function replay(options: FuzzOptions, source: string): Promise<number> {
  if (options.targets.length !== 1) {
    say(`--replay needs --target\n${USAGE}`);
    return 2;
  }
  const name = options.targets[0] as TargetName;
  const input = existsSync(source) ? readFileSync(source) : Buffer.from(source, 'hex');
  try {
    watchForStrays();
    const count = await runWhole(await createTarget(name), new Uint8Array(input));
    say(`the input came through: ${count} tried\n`);
    return 0;
  } catch (error) {
    const crash = describeCrash(name, new Uint8Array(input), error);
    say(crashReport(crash, source));
    return 1;
  }
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

process.exitCode = await main(process.argv.slice(2));
