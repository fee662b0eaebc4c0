/** The command line of the fuzzer. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { TARGET_NAMES, type TargetName } from './target.js';

export interface FuzzOptions {
  readonly count: number;
  readonly seconds: number;
  readonly targets: readonly TargetName[];
  readonly seed: number;
  readonly threads: number;
  readonly artifacts: string;
  readonly json: boolean;
  /** File with an input, or the input in hexadecimal. */
  readonly replay: string | undefined;
}

export const USAGE = `usage: npm run fuzz -- [options]
  --count N          hostile packets, streams, calls and fragments to try (default 100000, or no limit with --seconds)
  --seconds T        stop after T seconds
  --target NAME      ${TARGET_NAMES.join(' | ')} | all (default all)
  --seed S           repeat a run (default: random, and printed)
  --threads N        default 2
  --artifacts DIR    where inputs that crash are saved (default build/fuzz-artifacts)
  --replay FILE|HEX  run one input of --target
  --json             results as JSON lines on standard output
`;

const DEFAULT_COUNT = 100_000;

/** @throws Error, saying what is wrong with the arguments. */
export function parseOptions(args: readonly string[]): FuzzOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      count: { type: 'string' },
      seconds: { type: 'string' },
      target: { type: 'string', default: 'all' },
      seed: { type: 'string' },
      threads: { type: 'string', default: '2' },
      artifacts: { type: 'string', default: 'build/fuzz-artifacts' },
      replay: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const seconds =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : positive('seconds', values.seconds);
  const unlimited = values.seconds === undefined ? DEFAULT_COUNT : Number.MAX_SAFE_INTEGER;
  return {
    count: values.count === undefined ? unlimited : positive('count', values.count),
    seconds,
    targets: toTargets(values.target),
    seed: values.seed === undefined ? randomInt(2 ** 32) : positive('seed', values.seed),
    threads: positive('threads', values.threads),
    artifacts: values.artifacts,
    json: values.json,
    replay: values.replay,
  };
}

function toTargets(name: string): readonly TargetName[] {
  if (name === 'all') return TARGET_NAMES;
  const target = TARGET_NAMES.find((known) => known === name);
  if (target === undefined) throw new Error(`there is no target '${name}'`);
  return [target];
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} must be an integer above 0, not '${text}'`);
  return value;
}
