/**
 * A thread of the fuzzer: runs the campaigns that it was given, one after the other. The input that runs now and a
 * counter of inputs are in shared memory, so that the main thread sees a hang and can save what caused it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Campaign, type CampaignResult } from './campaign.js';
import { Coverage } from './coverage.js';
import { checkHeap, heapBytes } from './heap.js';
import { watchForStrays } from './strays.js';
import { type CatalogEntry, loadCatalog } from './target.js';
import { CURRENT_HEADER_INTS, type Job, type WorkerMessage, type WorkerSetup } from './worker-protocol.js';

const { jobs, seed, current, catalogUrl } = workerData as WorkerSetup;
const header = new Int32Array(current, 0, CURRENT_HEADER_INTS);
const bytes = new Uint8Array(current, CURRENT_HEADER_INTS * 4);
const PROGRESS_MILLIS = 2000;

const send = (message: WorkerMessage): void => parentPort?.postMessage(message);

function showInput(input: Uint8Array): void {
  bytes.set(input);
  Atomics.store(header, 1, input.length);
  Atomics.add(header, 0, 1);
}

async function runJob(job: Job, index: number, coverage: Coverage): Promise<CampaignResult> {
  let reportedAt = performance.now();
  Atomics.store(header, 2, index);
  const { create } = TARGETS[job.target] as CatalogEntry;
  const campaign = new Campaign(await create(), {
    count: job.count,
    untilMillis: performance.now() + job.seconds * 1000,
    seed: seed + index * 7919,
    coverage,
    onInput: showInput,
    onProgress: (count, corpus) => {
      if (performance.now() < reportedAt + PROGRESS_MILLIS) return;
      reportedAt = performance.now();
      send({ type: 'progress', target: job.target, count, corpus });
    },
    onCrash: (crash) => send({ type: 'crash', crash }),
  });
  return campaign.run();
}

watchForStrays();
const { TARGETS, COVERED_PATH } = await loadCatalog(catalogUrl);
const coverage = new Coverage(COVERED_PATH);
for (const [index, job] of jobs.entries()) {
  const heapBefore = heapBytes();
  const result = await runJob(job, index, coverage);
  const { target } = job;
  const leak = checkHeap(heapBefore);
  if (leak !== null)
    send({
      type: 'crash',
      crash: { target, signature: 'heap', message: leak, stack: '', input: new Uint8Array(0) },
    });
  send({ type: 'done', target, result });
}
coverage.stop();
send({ type: 'edges', edges: [...coverage.edges] });
parentPort?.close();
