/**
 * An attacker who has seen PSNs of earlier connections predicts the next one. Against process id times time that works;
 * against ours every predictor is as good as a guess.
 */
import { generatePsn } from '../../../src/session/psn-source.js';
import type { Attack, AttackContext, Outcome } from '../attack.js';
import { fitsBinomial, rounded } from '../statistics.js';
import { pidTimePsns, predictPidTime } from './guessable-psn.js';

const PROCESSES = 20;
const HIGHEST_PID = 32_768;
/** How well the attacker knows when the process began. */
const SLACK_SECONDS = 1;
const DRAWS = 200_000;
const SPACE = 2 ** 24;
const MASK = SPACE - 1;
/** Chi-square of 24 bits, each expected to be set half the time: above it, one honest run in a million. */
const MOST_CHI_SQUARE = 78;

/** What is tried against a source of which nothing is known: each gets the two PSNs before. */
const PREDICTORS: readonly ((last: number, before: number) => number)[] = [
  (last) => last,
  (last) => (last + 1) & MASK,
  (last) => last ^ 1,
  (last, before) => (2 * last - before) & MASK,
  // One step of lrand48, if the PSN were its low bits.
  (last) => Number((BigInt(last) * 0x5deece66dn + 0xbn) & BigInt(MASK)),
];

function predictGuessable({ random, progress }: AttackContext): { predicted: number; searched: number } {
  let predicted = 0;
  let searched = 0;
  for (let i = 0; i < PROCESSES; i++) {
    const startedAt = 1_700_000_000 + random.below(100_000_000);
    const psns = pidTimePsns(1 + random.below(HIGHEST_PID), startedAt);
    const seen = [psns.next().value, psns.next().value];
    const clock = startedAt + random.below(2 * SLACK_SECONDS + 1) - SLACK_SECONDS;
    const guess = predictPidTime(seen, clock, SLACK_SECONDS, HIGHEST_PID);
    searched += guess.searched;
    if (guess.candidates.length === 1 && guess.candidates[0] === psns.next().value) predicted++;
    progress(`process ${i + 1} of ${PROCESSES}: ${predicted} predicted`);
  }
  return { predicted, searched };
}

function predictOurs(): { tries: number; hits: number; chiSquare: number } {
  const ones = new Float64Array(24);
  let hits = 0;
  let before: number = generatePsn();
  let last: number = generatePsn();
  for (let draw = 0; draw < DRAWS; draw++) {
    const next = generatePsn();
    for (const predict of PREDICTORS) if (predict(last, before) === next) hits++;
    for (let bit = 0; bit < 24; bit++) ones[bit] = (ones[bit] as number) + ((next >>> bit) & 1);
    before = last;
    last = next;
  }
  const variance = DRAWS / 4;
  const chiSquare = ones.reduce((sum, count) => sum + (count - DRAWS / 2) ** 2 / variance, 0);
  return { tries: DRAWS * PREDICTORS.length, hits, chiSquare };
}

async function run(context: AttackContext): Promise<Outcome> {
  const guessable = predictGuessable(context);
  const ours = predictOurs();
  const expected = ours.tries / SPACE;
  return {
    tries: ours.tries,
    hits: ours.hits,
    expected,
    pass:
      guessable.predicted === PROCESSES &&
      fitsBinomial(ours.hits, ours.tries, 1 / SPACE) &&
      ours.chiSquare < MOST_CHI_SQUARE,
    note:
      `process id times time: ${guessable.predicted} of ${PROCESSES} predicted, from two PSNs, by trying ` +
      `${rounded(guessable.searched / PROCESSES)} seeds each; ours: ${PREDICTORS.length} predictors over ${DRAWS} PSNs, ` +
      `no bit is forced (chi-square of 24 bits ${rounded(ours.chiSquare)})`,
  };
}

export const PREDICT_PSN: Attack = {
  name: 'A5',
  title: 'the next PSN predicted from those before',
  run,
};
