/**
 * PSNs of a smaller space, so that what happens once in 2^24 can be counted. This stands in for `generatePsn` in the
 * attacked process alone: everything that looks at a PSN afterwards is the real thing.
 */
import { Random } from '../../../testkit/random.js';

export interface PsnSpace {
  readonly seed: number;
  /** PSNs are below 2^bits. */
  readonly bits: number;
  /** Makes PSNs as programs do that write `psn | 1`. */
  readonly isOdd?: boolean;
}

export function reducedPsnSource({ seed, bits, isOdd = false }: PsnSpace): () => number {
  const random = new Random(seed);
  return () => (random.u32() >>> (32 - bits)) | (isOdd ? 1 : 0);
}
