/** The attack suite itself: its command line, its victims, and that a weak source of PSNs is in fact predicted. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { Random } from '../../testkit/random.js';
import { pidTimePsns, predictPidTime } from '../../tools/attack/attacks/guessable-psn.js';
import { ONE_PACKET } from '../../tools/attack/attacks/one-packet.js';
import { OVERHEARD_IDS } from '../../tools/attack/attacks/overheard-ids.js';
import { ATTACKS } from '../../tools/attack/attacks.js';
import { parseOptions } from '../../tools/attack/options.js';
import { reducedPsnSource } from '../../tools/attack/victims/reduced-psn.js';

const NAMES = ATTACKS.map(({ name }) => name);

test('every attack has a name of its own, in order', () => {
  assert.equal(new Set(NAMES).size, NAMES.length);
  const numbers = NAMES.map((name) => Number(name.slice(1)));
  assert.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
});

test('the command line takes names in any case and refuses those that there are not', () => {
  assert.deepEqual(parseOptions(['--only', 'a1,A6', '--seed', '7'], NAMES), {
    only: ['A1', 'A6'],
    seed: 7,
    full: false,
    json: false,
  });
  assert.throws(() => parseOptions(['--only', 'A99'], NAMES), /no attack 'A99'/);
  assert.throws(() => parseOptions(['--seed', 'x'], NAMES), /--seed takes a whole number/);
});

test('PSNs of process id times time are predicted from two of them', () => {
  const psns = pidTimePsns(4321, 1_760_000_000);
  const seen = [psns.next().value, psns.next().value];
  const { candidates } = predictPidTime(seen, 1_760_000_001, 1, 8192);
  assert.deepEqual(candidates, [psns.next().value]);
});

test('reduced PSNs are as small and as odd as asked for, and repeat with their seed', () => {
  const draw = (isOdd: boolean): number[] => {
    const next = reducedPsnSource({ seed: 5, bits: 8, isOdd });
    return Array.from({ length: 1000 }, next);
  };
  assert.ok(draw(false).every((psn) => psn < 256));
  assert.ok(draw(false).some((psn) => psn % 2 === 0));
  assert.ok(draw(true).every((psn) => psn % 2 === 1));
  assert.deepEqual(draw(false), draw(false));
});

test('one forbidden packet ends one queue pair, and neither memory nor others suffer', async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const outcome = await ONE_PACKET.run({ seed, random: new Random(seed), full: false, progress: () => {} });
  assert.ok(outcome.pass, outcome.note);
});

test('IDs of rdma_cm that were overheard end what they name, and nothing else', async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const outcome = await OVERHEARD_IDS.run({
    seed,
    random: new Random(seed),
    full: false,
    progress: () => {},
  });
  assert.ok(outcome.pass, outcome.note);
});
