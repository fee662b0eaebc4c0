/** Whether the heap of this thread grew over a campaign: what hostile input left behind for good. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Corpus, coverage, compiled code and whatever else is allowed to grow. */
const ALLOWED_GROWTH_BYTES = 48 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes in use after a full collection. */
export function heapBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What is wrong, or `null`. */
export function checkHeap(before: number): string | null {
  const grown = heapBytes() - before;
  if (grown <= ALLOWED_GROWTH_BYTES) return null;
  return `the heap grew by ${(grown / 2 ** 20).toFixed(1)} MiB over the campaign`;
}
