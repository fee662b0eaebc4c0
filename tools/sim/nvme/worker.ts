/** Runs the seeds that it is told to, one after the other, and reports each. */
import { parentPort } from 'node:worker_threads';
import { runSeed } from './run-seed.js';

parentPort?.on('message', async (seed: number) => {
  const { failure, packets, marks } = await runSeed(seed);
  parentPort?.postMessage({ seed, failure, packets, marks: [...marks] });
});
