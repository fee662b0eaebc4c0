/**
 * Counters of connections that begin just below their wrap. While it is installed, connections of this thread count from the
 * numbers that it is given, and starting PSNs lie just below 2^24.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { FIXED_NUMBERS } from '../src/connection/common/fixed-numbers.js';
import { PIECES_PER_KEY } from '../src/connection/fragments/sealing.js';
import type { Random } from './random.js';
import { replace } from './replace.js';

export type FirstNumbers = typeof FIXED_NUMBERS.first;

const PSNS = 2 ** 24;
const COUNTER = 2 ** 32;
const HIGHEST_STREAM = 2 ** 31 - 1;
/** PSNs lie so near to the wrap that the first few messages cross it. */
const NEAR_PSNS = 40;

/** Counters that wrap after a few steps, each with a probability of its own. */
export function nearWraps(random: Random): FirstNumbers {
  const near = (wrap: number, steps: number): number =>
    random.chance(0.7) ? wrap - random.int(1, steps) : 0;
  return {
    fragment: near(COUNTER, 20),
    messageCost: near(COUNTER, 2000),
    streamByte: near(COUNTER, 2000),
    // Numbers of streams end; they do not wrap.
    stream: near(HIGHEST_STREAM, 6),
    sealedPiece: near(PIECES_PER_KEY, 10),
    sealedRequest: near(COUNTER, 3),
  };
}

/** Returns what makes everything count from 0 again. */
export function installFirstNumbers(first: FirstNumbers): () => void {
  return replace(FIXED_NUMBERS, { first });
}

/** PSNs come from `random`, just below 2^24; returns what undoes it. */
export function installNearPsns(random: Random): () => void {
  const { randomInt } = crypto;
  const near = (from: number, to?: number): number => {
    if (from === 0 && to === PSNS) return PSNS - random.int(1, NEAR_PSNS);
    return to === undefined ? randomInt(from) : randomInt(from, to);
  };
  const restore = replace(crypto, { randomInt: near });
  syncBuiltinESMExports();
  return () => {
    restore();
    syncBuiltinESMExports();
  };
}
