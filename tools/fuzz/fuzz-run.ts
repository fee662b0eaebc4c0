/**
 * A run of the fuzzer: threads that work through the same targets with different seeds, watched from here. A thread
 * that stays with one input for too long is ended and its input saved as a crash.
 */
import { Worker } from 'node:worker_threads';
import type { CampaignResult } from './campaign.js';
import type { Crash } from './crash.js';
import type { FuzzOptions } from './options.js';
import { type CatalogEntry, loadCatalog, type TargetCatalog } from './target.js';
import {
  CURRENT_HEADER_INTS,
  type Job,
  MAX_INPUT_BYTES,
  type WorkerMessage,
  type WorkerSetup,
} from './worker-protocol.js';

const WATCH_MILLIS = 250;

export interface TargetTotals {
  count: number;
  inputs: number;
  corpus: number;
  crashes: number;
}

export interface FuzzTotals {
  readonly targets: Map<string, TargetTotals>;
  readonly edges: Set<string>;
}

export interface FuzzListener {
  onProgress(thread: number, target: string, count: number, corpus: number): void;
  onCrash(crash: Crash): void;
}

/** `catalogUrl` names the module with the targets. */
export async function runFuzzer(
  options: FuzzOptions,
  catalogUrl: string,
  listener: FuzzListener,
): Promise<FuzzTotals> {
  const { TARGETS } = await loadCatalog(catalogUrl);
  const totals: FuzzTotals = { targets: new Map(), edges: new Set() };
  for (const target of options.targets) {
    totals.targets.set(target, { count: 0, inputs: 0, corpus: 0, crashes: 0 });
  }
  const threads = Array.from({ length: options.threads }, (_, thread) => {
    const jobs = makeJobs(options, TARGETS, thread);
    return runThread(
      options,
      { jobs, seed: options.seed + thread * 1_000_003, catalogUrl },
      thread,
      totals,
      listener,
    );
  });
  await Promise.all(threads);
  return totals;
}

function makeJobs(
  { count, seconds, targets, threads }: FuzzOptions,
  catalog: TargetCatalog,
  thread: number,
): Job[] {
  const shareOf = (target: string): number => (catalog[target] as CatalogEntry).share;
  const whole = targets.reduce((sum, target) => sum + shareOf(target), 0);
  return targets.map((target) => {
    const share = shareOf(target) / whole;
    // The first thread takes what division leaves over.
    const all = Math.ceil(count * share);
    const own = Math.floor(all / threads) + (thread === 0 ? all % threads : 0);
    return { target, count: own, seconds: seconds * share };
  });
}

function runThread(
  options: FuzzOptions,
  plan: Omit<WorkerSetup, 'current'>,
  thread: number,
  totals: FuzzTotals,
  listener: FuzzListener,
): Promise<void> {
  const { jobs } = plan;
  const current = new SharedArrayBuffer(CURRENT_HEADER_INTS * 4 + MAX_INPUT_BYTES);
  const setup: WorkerSetup = { ...plan, current };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: setup });
  const record = (crash: Crash): void => {
    const target = totals.targets.get(crash.target as string);
    if (target !== undefined) target.crashes++;
    listener.onCrash(crash);
  };
  let isFinished = false;
  worker.on('message', (message: WorkerMessage) => {
    if (message.type === 'progress')
      listener.onProgress(thread, message.target, message.count, message.corpus);
    else if (message.type === 'crash') record(message.crash);
    else if (message.type === 'done') addResult(totals, message.target, message.result);
    else {
      isFinished = true;
      for (const edge of message.edges) totals.edges.add(edge);
    }
  });
  /** Nothing was left that could wake the thread: what the input waits for never comes. */
  const recordEnd = (): void => {
    const { input, job } = readCurrent(current);
    const { target } = jobs[job] as Job;
    record({ target, signature: 'hang', message: 'the input waits for ever', stack: '', input });
  };
  return new Promise((resolve) => {
    const stopWatching = watch(current, options.hangMillis, (input, job) => {
      const { target } = jobs[job] as Job;
      const message = `the input did not come back within ${options.hangMillis} ms`;
      record({ target, signature: 'hang', message, stack: '', input });
      isFinished = true;
      void worker.terminate();
    });
    worker.on('error', (error: Error) => {
      isFinished = true;
      const { input, job } = readCurrent(current);
      const { target } = jobs[job] as Job;
      const { message } = error;
      record({
        target,
        signature: 'thread',
        message: `the thread died: ${message}`,
        stack: error.stack ?? '',
        input,
      });
    });
    worker.on('exit', () => {
      stopWatching();
      if (!isFinished) recordEnd();
      resolve();
    });
  });
}

function addResult(totals: FuzzTotals, name: string, result: CampaignResult): void {
  const target = totals.targets.get(name);
  if (target === undefined) return;
  target.count += result.count;
  target.inputs += result.inputs;
  target.corpus += result.corpus;
}

function watch(
  current: SharedArrayBuffer,
  hangMillis: number,
  onHang: (input: Uint8Array, job: number) => void,
): () => void {
  const header = new Int32Array(current, 0, CURRENT_HEADER_INTS);
  let seen = -1;
  let seenAt = performance.now();
  const timer = setInterval(() => {
    const inputs = Atomics.load(header, 0);
    if (inputs !== seen) {
      seen = inputs;
      seenAt = performance.now();
    } else if (performance.now() > seenAt + hangMillis) {
      clearInterval(timer);
      const { input, job } = readCurrent(current);
      onHang(input, job);
    }
  }, WATCH_MILLIS);
  return () => clearInterval(timer);
}

function readCurrent(current: SharedArrayBuffer): { input: Uint8Array; job: number } {
  const header = new Int32Array(current, 0, CURRENT_HEADER_INTS);
  const bytes = new Uint8Array(current, CURRENT_HEADER_INTS * 4);
  return { input: bytes.slice(0, Atomics.load(header, 1)), job: Atomics.load(header, 2) };
}
