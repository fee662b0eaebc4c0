/**
 * `npm run chaos`: faults against real processes with traffic flowing. Exits with 1 when a message was lost, doubled or
 * reordered, bytes were damaged, an object leaked, memory grew, or a connection did not go on. With `--workers` workers die instead.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { Random } from '../../testkit/random.js';
import { runTool } from '../command-line.js';
import { FAULTS, type FaultName, WEIGHTS, WEIGHTS_OF_THE_SECOND_HALF } from './faults.js';
import { type ChaosOptions, parseOptions, USAGE } from './options.js';
import { strikeWorkers } from './workers/run.js';
import { World } from './world.js';

const PROGRESS_MILLIS = 1000;
/** Faults that come before the one before them is over. */
const OVERLAPPING = 0.15;
/** In shorter runs, what processes need to warm up weighs more than what could have leaked. */
const FAULTS_FOR_MEMORY = 200;
/** What a process may need more in the end than in the middle of the run, after a garbage collection. */
const ALLOWED_GROWTH_BYTES = 8 * 1024 * 1024;

const say = (text: string): void => void process.stderr.write(text);
const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  const certificates = mkdtempSync(join(tmpdir(), 'queuepair-chaos-'));
  say(`seed ${options.seed}\n`);
  try {
    await loadOrCreateDevCertificates(join(certificates, 'certs'));
    if (options.workers) return await runWorkers(options, join(certificates, 'certs'));
    return await run(options, new World(join(certificates, 'certs'), options));
  } finally {
    rmSync(certificates, { recursive: true, force: true });
  }
}

async function runWorkers(options: ChaosOptions, certificates: string): Promise<number> {
  const startedAt = performance.now();
  const { outcome, details, failure } = await strikeWorkers(options, certificates);
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
  const all = { event: 'details', seed: options.seed, seconds, ...details };
  if (options.json) {
    print(failure === undefined ? all : { ...all, failure });
    print(outcome);
  } else {
    report({ ...outcome }, all);
  }
  if (failure !== undefined) say(`failed: ${failure}\n`);
  const { lost, duplicated, reordered, leaked } = outcome;
  const isBad = lost + duplicated + reordered + leaked > 0 || failure !== undefined;
  if (isBad) say(`again: npm run chaos -- --workers --faults ${options.faults} --seed ${options.seed}\n`);
  return isBad ? 1 : 0;
}

async function run(options: ChaosOptions, world: World): Promise<number> {
  const startedAt = performance.now();
  const interrupt = (): void => void world.close().then(() => process.exit(130));
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  let struck: Record<string, number> = {};
  let growth = { server: 0, client: 0 };
  let left: Readonly<Record<string, number>> = {};
  let failure: string | undefined;
  try {
    await world.start();
    const random = new Random(options.seed);
    const half = Math.ceil(options.faults / 2);
    struck = await strike(world, random, options, half, WEIGHTS, 0);
    const before = await world.measureMemory();
    const rest = options.faults - half;
    const more = await strike(world, random, options, rest, WEIGHTS_OF_THE_SECOND_HALF, half);
    for (const [name, count] of Object.entries(more)) struck[name] = (struck[name] ?? 0) + count;
    const after = await world.measureMemory();
    growth = { server: after.server - before.server, client: after.client - before.client };
    left = await world.finish();
  } catch (error) {
    failure = (error as Error).message;
    await world.close();
  }
  say('\n');
  const { lost, duplicated, reordered, ...more } = world.ledger.totals();
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
  const leaked = Object.values(left).reduce((sum, count) => sum + count, 0);
  const grew =
    options.faults >= FAULTS_FOR_MEMORY && Math.max(growth.server, growth.client) > ALLOWED_GROWTH_BYTES;
  const details = {
    event: 'details',
    seed: options.seed,
    seconds,
    ...more,
    growthBytes: growth,
    left,
    struck,
  };
  const summary = { faults: options.faults, lost, duplicated, reordered, leaked };
  const isBad = lost + duplicated + reordered + leaked + more.corrupted > 0 || failure !== undefined || grew;
  if (options.json) {
    print(failure === undefined ? details : { ...details, failure });
    print(summary);
  } else {
    report(summary, details);
  }
  if (failure !== undefined) say(`failed: ${failure}\n`);
  if (grew) say(`failed: memory grew by ${JSON.stringify(growth)} bytes in the second half\n`);
  if (isBad) say(`again: npm run chaos -- --faults ${options.faults} --seed ${options.seed}\n`);
  return isBad ? 1 : 0;
}

async function strike(
  world: World,
  random: Random,
  options: ChaosOptions,
  count: number,
  weights: Readonly<Record<FaultName, number>>,
  done: number,
): Promise<Record<string, number>> {
  const struck: Record<string, number> = {};
  let shownAt = 0;
  for (let i = 0; i < count; ) {
    const blows: Promise<void>[] = [];
    const together = random.chance(OVERLAPPING) ? 2 : 1;
    for (let n = 0; n < together && i < count; n++, i++) {
      const name = options.only.length > 0 ? random.pick(options.only) : random.weighted(weights);
      struck[name] = (struck[name] ?? 0) + 1;
      blows.push(FAULTS[name]({ world, random: random.fork() }));
    }
    await Promise.all(blows);
    await world.untilHealthy();
    if (performance.now() - shownAt < PROGRESS_MILLIS) continue;
    shownAt = performance.now();
    say(`\r${done + i} of ${options.faults} faults, ${world.ledger.messages} messages `);
  }
  return struck;
}

function report(summary: Readonly<Record<string, number>>, details: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries({ ...details, ...summary })) {
    if (name === 'event') continue;
    process.stdout.write(`${name.padEnd(14)} ${typeof value === 'object' ? JSON.stringify(value) : value}\n`);
  }
}

await runTool(USAGE, main);
