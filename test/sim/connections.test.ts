/** The simulation of connections itself: seeds replay, nothing of this thread stays replaced, shrinking keeps the failure. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { generateScenario } from '../../tools/sim/connections/generate.js';
import { runScenario, runSeed } from '../../tools/sim/connections/run-seed.js';
import { shrink } from '../../tools/sim/connections/shrink.js';

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);

test('connections keep their promises in the first seeds', async () => {
  for (const seed of SEEDS) {
    const { failure } = await runSeed(seed);
    assert.equal(failure, null, `npm run sim -- --connections --seed ${seed} --shrink`);
  }
});

test('a seed is a whole run, whatever ran before it', async () => {
  for (const seed of [3, 17, 42]) {
    const first: string[] = [];
    await runScenario(generateScenario(seed), (line) => first.push(line));
    await runSeed(seed + 100);
    const second: string[] = [];
    await runScenario(generateScenario(seed), (line) => second.push(line));
    assert.deepEqual(second, first);
  }
});

test('a scenario survives being written down as JSON', async () => {
  const scenario = generateScenario(11);
  assert.deepEqual(await runScenario(JSON.parse(JSON.stringify(scenario))), await runScenario(scenario));
});

test('clocks, timers and random numbers are those of the machine again after a run', async () => {
  const before = [setTimeout, clearTimeout, performance.now, Date.now, Math.random, randomInt];
  await runSeed(1);
  assert.deepEqual([setTimeout, clearTimeout, performance.now, Date.now, Math.random, randomInt], before);
});

test('shrinking leaves out what the failure does not need', async () => {
  const scenario = generateScenario(2);
  // A world whose patience was over before it began.
  const late = { ...scenario, healAt: -1_000_000 };
  const { failure } = await runScenario(late);
  assert.match(failure ?? '', /^liveness/);
  const shrunk = await shrink(late, failure ?? '', 5000);
  assert.match(shrunk.failure, /^liveness/);
  assert.equal(shrunk.scenario.plans.length, 1);
  assert.ok(shrunk.scenario.faults.length <= scenario.faults.length);
});

test('shrinking leaves out streams, patience and counters near their wrap', async () => {
  const scenario = SEEDS.map(generateScenario).find(
    ({ nearPsns, plans }) =>
      nearPsns && plans.some(({ operations }) => operations.client.some(({ kind }) => kind === 'stream')),
  );
  assert.ok(scenario !== undefined);
  const late = { ...scenario, healAt: -1_000_000 };
  const { failure } = await runScenario(late);
  const shrunk = await shrink(late, failure ?? '', 10_000);
  assert.match(shrunk.failure, /^liveness/);
  const { nearPsns, first, plans } = shrunk.scenario;
  assert.equal(nearPsns, false);
  assert.deepEqual(new Set(Object.values(first)), new Set([0]));
  assert.deepEqual(
    plans.flatMap(({ operations }) => [...operations.client, ...operations.server]),
    [],
  );
});

test('a session that breaks right after TLS, during a recovery, is tried again', async () => {
  const scenario = generateScenario(1);
  const [plan] = scenario.plans;
  assert.ok(plan !== undefined);
  // It is the TLS session that breaks.
  const lifeline = 'session' as const;
  const client = { ...plan.client, recoveryMillis: 10_000, encryption: false, lifeline };
  const reset = { kind: 'reset', whoLearns: 'both' } as const;
  const { failure, marks } = await runScenario({
    ...scenario,
    server: { ...scenario.server, recoveryMillis: 10_000, encryption: false, lifeline },
    plans: [
      {
        ...plan,
        client,
        operations: { client: [{ kind: 'send', at: 500, bytes: 8, patience: null }], server: [] },
      },
    ],
    faults: [
      { plan: 0, trigger: { at: 50 }, lasts: 1, what: reset },
      { plan: 0, trigger: { side: 'client', step: 'tls', count: 2, after: 0.05 }, lasts: 1, what: reset },
    ],
  });
  assert.equal(failure, null);
  assert.equal(marks.get('fault reset'), 2);
  assert.equal(marks.get('client closed: in order'), 1);
});
