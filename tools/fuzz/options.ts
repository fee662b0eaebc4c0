/** The command line of the fuzzer. */
import { parseArgs } from 'node:util';
import { integerOption, seedOption, WrongUsage } from '../command-line.js';

export interface FuzzOptions {
  readonly count: number;
  readonly seconds: number;
  readonly targets: readonly string[];
  readonly seed: number;
  readonly threads: number;
  /** An input that takes longer hangs. */
  readonly hangMillis: number;
  readonly artifacts: string;
  readonly json: boolean;
  /** File with an input, or the input in hexadecimal. */
  readonly replay: string | undefined;
}

export const usage = (names: readonly string[]): string => `usage: npm run fuzz -- [options]
  --count N          hostile packets, streams, calls and fragments to try (default 100000, or no limit with --seconds)
  --seconds T        stop after T seconds
  --target NAME      ${names.join(' | ')} | all (default all)
  --seed S           repeat a run (default: random, and printed)
  --threads N        default 2
  --hang-millis M    how long an input may take (default 120000)
  --artifacts DIR    where inputs that crash are saved (default build/fuzz-artifacts)
  --replay FILE|HEX  run one input of --target
  --json             results as JSON lines on standard output
`;

const DEFAULT_COUNT = 100_000;
/** Longer than any input takes, many times over. */
const DEFAULT_HANG_MILLIS = '120000';

/** `names` are of all targets. @throws WrongUsage. */
export function parseOptions(args: readonly string[], names: readonly string[]): FuzzOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      count: { type: 'string' },
      seconds: { type: 'string' },
      target: { type: 'string', default: 'all' },
      seed: { type: 'string' },
      threads: { type: 'string', default: '2' },
      'hang-millis': { type: 'string', default: DEFAULT_HANG_MILLIS },
      artifacts: { type: 'string', default: 'build/fuzz-artifacts' },
      replay: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const seconds =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : atLeastOne('seconds', values.seconds);
  const targets = toTargets(values.target, names);
  if (values.replay !== undefined && targets.length !== 1) throw new WrongUsage('--replay needs --target');
  const unlimited = values.seconds === undefined ? DEFAULT_COUNT : Number.MAX_SAFE_INTEGER;
  return {
    count: values.count === undefined ? unlimited : atLeastOne('count', values.count),
    seconds,
    targets,
    seed: seedOption(values.seed),
    threads: atLeastOne('threads', values.threads),
    hangMillis: atLeastOne('hang-millis', values['hang-millis']),
    artifacts: values.artifacts,
    json: values.json,
    replay: values.replay,
  };
}

function toTargets(name: string, names: readonly string[]): readonly string[] {
  if (name === 'all') return names;
  if (!names.includes(name))
    throw new WrongUsage(`there is no target '${name}'; there are ${names.join(', ')}`);
  return [name];
}

const atLeastOne = (name: string, text: string): number => integerOption(name, text, 1);
