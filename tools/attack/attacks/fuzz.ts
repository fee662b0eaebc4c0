/** Hostile packets, frames, calls and messages by the fuzzer: none may crash anything or leave an object behind. */
import { type FuzzListener, runFuzzer } from '../../fuzz/fuzz-run.js';
import { TARGETS } from '../../fuzz/targets.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';

const COUNT = 50_000;
const FULL_COUNT = 10_000_000;
const ARTIFACTS = 'build/fuzz-artifacts';
const HANG_MILLIS = 120_000;
const CATALOG = new URL('../../fuzz/targets.js', import.meta.url).href;

async function run({ seed, full, progress }: AttackContext): Promise<Outcome> {
  const crashes: string[] = [];
  const listener: FuzzListener = {
    onProgress: (thread, target, count) => progress(`thread ${thread}: ${target} ${count}`),
    onCrash: ({ target, message }) => crashes.push(`${target}: ${message}`),
  };
  const options = {
    count: full ? FULL_COUNT : COUNT,
    seconds: Number.POSITIVE_INFINITY,
    targets: Object.keys(TARGETS),
    hangMillis: HANG_MILLIS,
  };
  const totals = await runFuzzer(
    { ...options, seed, threads: 2, artifacts: ARTIFACTS, json: false, replay: undefined },
    CATALOG,
    listener,
  );
  let tries = 0;
  const parts: string[] = [];
  for (const [name, { count }] of totals.targets) {
    tries += count;
    parts.push(`${name} ${count}`);
  }
  return {
    tries,
    hits: crashes.length,
    expected: 0,
    pass: crashes.length === 0 && tries >= options.count,
    note: [parts.join(', '), ...crashes.slice(0, 3), `npm run fuzz -- --count ${FULL_COUNT} runs more`].join(
      '; ',
    ),
  };
}

export const FUZZ: Attack = {
  name: 'A16',
  title: 'hostile packets, frames, calls and messages (hits: crashes)',
  run,
};
