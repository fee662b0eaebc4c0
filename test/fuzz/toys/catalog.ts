/** Targets with planted faults, which the fuzzer must find. */
import { must, type Target, type TargetCatalog } from '../../../tools/fuzz/target.js';
import { open } from './lock.js';

export const COVERED_PATH = '/test/fuzz/toys/';

const kept: Uint8Array[] = [];

/** `run` gets the first bytes of an input; shorter inputs hold zeros there. */
function toy(
  name: string,
  run: (bytes: Uint8Array) => number | Promise<number>,
  stepBytes = 8,
  maxSteps = 4,
): Target {
  const bytes = new Uint8Array(stepBytes);
  return {
    name,
    stepBytes,
    maxSteps,
    seeds: () => [new Uint8Array(stepBytes)],
    run: (input) => {
      bytes.fill(0);
      bytes.set(input.subarray(0, stepBytes));
      return run(bytes);
    },
  };
}

export const lockTarget = (): Target =>
  toy(
    'lock',
    (bytes) => {
      open(bytes);
      return 1;
    },
    6,
    1,
  );

/** Every input with an odd first byte is a fault; the other steps have nothing to do with it. */
export const oddTarget = (): Target =>
  toy('odd', ([first = 0]) => {
    must(first % 2 === 0, `the first byte is ${first}`);
    return 1;
  });

export const TARGETS: TargetCatalog = {
  calm: { share: 1, create: () => toy('calm', () => 3) },
  lock: { share: 1, create: lockTarget },
  odd: { share: 1, create: oddTarget },
  loop: {
    share: 1,
    create: () =>
      toy('loop', ([first = 0]) => {
        while (first === 255);
        return 1;
      }),
  },
  waits: {
    share: 1,
    create: () => toy('waits', ([first = 0]) => (first === 255 ? new Promise<number>(() => {}) : 1)),
  },
  stray: {
    share: 1,
    create: () =>
      toy('stray', async ([first = 0]) => {
        if (first > 250) void Promise.reject(new Error('nobody waits for this'));
        if (first > 240 && first <= 250) queueMicrotask(() => must(false, 'nobody catches this'));
        return 1;
      }),
  },
  leak: {
    share: 1,
    create: () =>
      toy('leak', () => {
        kept.push(new Uint8Array(64 * 1024));
        return 1;
      }),
  },
};
