/**
 * `npm run attack`: attacks on our own processes over loopback, each bounded in packets and time, each compared with
 * what theory expects. Progress goes to standard error; results, one line an attack, to standard output. Exits with 1
 * when one does not come out as expected.
 */
import { Random } from '../../testkit/random.js';
import { runTool } from '../command-line.js';
import type { Attack, Outcome } from './attack.js';
import { ATTACKS } from './attacks.js';
import { type AttackOptions, parseOptions, USAGE } from './options.js';
import { rounded } from './statistics.js';

const PROGRESS_MILLIS = 2000;

const say = (text: string): void => void process.stderr.write(text);

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(
    args,
    ATTACKS.map(({ name }) => name),
  );
  say(`seed ${options.seed}\n`);
  let failures = 0;
  for (const attack of ATTACKS) {
    if (options.only.length > 0 && !options.only.includes(attack.name)) continue;
    if (!(await carryOut(attack, options))) failures++;
  }
  return failures === 0 ? 0 : 1;
}

async function carryOut(attack: Attack, options: AttackOptions): Promise<boolean> {
  // Each attack has randomness of its own, so that one alone comes out as it does among all.
  const seed = options.seed + 7919 * ATTACKS.indexOf(attack);
  const startedAt = performance.now();
  say(`${attack.name} ${attack.title}\n`);
  let outcome: Outcome;
  try {
    outcome = await attack.run({
      seed,
      random: new Random(seed),
      full: options.full,
      progress: throttled(),
    });
  } catch (error) {
    const note = `it could not be carried out: ${error instanceof Error ? (error.stack ?? error.message) : error}`;
    outcome = { tries: 0, hits: 0, expected: 0, pass: false, note };
  }
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
  print(attack, outcome, seconds, options);
  return outcome.pass;
}

/** Says what is going on, but not more often than a reader wants to know. */
function throttled(): (text: string) => void {
  let saidAt = performance.now();
  return (text) => {
    if (performance.now() - saidAt < PROGRESS_MILLIS) return;
    saidAt = performance.now();
    say(`  ${text}\n`);
  };
}

function print(attack: Attack, outcome: Outcome, seconds: number, { json, seed }: AttackOptions): void {
  const { tries, hits, expected, pass, note } = outcome;
  if (json) {
    const line = { attack: attack.name, tries, hits, expected, pass, seconds, seed, note };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    const verdict = pass ? 'as expected' : 'NOT AS EXPECTED';
    process.stdout.write(
      `${attack.name.padEnd(3)} ${verdict}: ${attack.title}\n` +
        `    ${tries} tries, ${hits} hits, ${rounded(expected)} expected, ${seconds} s\n    ${note}\n`,
    );
  }
  if (!pass) say(`repeat with: npm run attack -- --only ${attack.name} --seed ${seed}\n`);
}

await runTool(USAGE, main);
