/** The simulation of communication managers itself: seeds replay, and faults that are put into the code are found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateScenario } from '../../tools/sim/cm/generate.js';
import { WANTED } from '../../tools/sim/cm/marks-wanted.js';
import { runScenario, runSeed } from '../../tools/sim/cm/run-seed.js';
import { shrink } from '../../tools/sim/cm/shrink.js';
import { type Fault, firstFailure } from './mutants.js';

const WORKER = 'tools/sim/cm/worker.js';
const SEEDS = 600;
const MAX_SEEDS = 3000;

test('communication managers keep their promises in the first seeds', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { failure } = runSeed(seed);
    assert.equal(failure, null, `npm run sim -- --cm --seed ${seed} --shrink`);
  }
});

test('a seed is a whole run, also when it was written down as JSON', () => {
  for (const seed of [3, 17, 42]) {
    const lines: string[][] = [[], []];
    runScenario(generateScenario(seed), (line) => lines[0]?.push(line));
    runSeed(seed + 100);
    runScenario(JSON.parse(JSON.stringify(generateScenario(seed))), (line) => lines[1]?.push(line));
    assert.deepEqual(lines[0], lines[1]);
  }
});

test('every mark is wanted once, and most are hit early', () => {
  assert.equal(new Set(WANTED).size, WANTED.length);
  const hit = new Set<string>();
  for (let seed = 1; seed <= 300; seed++) for (const name of runSeed(seed).marks.keys()) hit.add(name);
  const missing = WANTED.filter((name) => !hit.has(name));
  assert.ok(missing.length < WANTED.length / 4, `missing: ${missing}`);
});

test('shrinking leaves out what the failure does not need', async () => {
  // A world whose patience was over before it began.
  const late = { ...generateScenario(5), healAt: -1_000_000 };
  const { failure } = runScenario(late);
  assert.match(failure ?? '', /^liveness/);
  const shrunk = await shrink(late, failure ?? '', 3000);
  assert.match(shrunk.failure, /^liveness/);
  assert.ok(shrunk.scenario.meetings.length <= late.meetings.length);
});

const FAULTS: readonly (Fault & { readonly found: RegExp })[] = [
  {
    name: 'a REP is taken again after it was taken',
    file: 'cm/active',
    find: 'else if (connection.state === CmState.REQ_SENT)\n            this.#onFirstRep',
    replace: 'else if (connection.state !== CmState.ESTABLISHED)\n            this.#onFirstRep',
    found: /settling|events|exception/,
  },
  {
    name: 'an end is told twice',
    file: 'cm/ending',
    find: 'connection.isToldEnd = true;\n    }\n    #sendDreq',
    replace: '}\n    #sendDreq',
    found: /settling|events/,
  },
  {
    name: 'the program is told the PSN of the wrong end',
    file: 'cm/bring-up-paths',
    find: 'psn: ownPsn,',
    replace: 'psn: req.startingPsn,',
    found: /agreement/,
  },
  {
    name: 'a connection rests for no time after its end',
    file: 'cm/timing',
    find: 'LONGEST_TIMEWAIT_MILLIS = 8192',
    replace: 'LONGEST_TIMEWAIT_MILLIS = 100',
    found: /timewait/,
  },
  {
    name: 'a connection rests for ever',
    file: 'cm/ending',
    find: 'host.schedule(connection);\n        if (!connection.isActive',
    replace: 'if (!connection.isActive',
    found: /deadlines|left over/,
  },
  {
    name: 'a request that its program forgets stays',
    file: 'cm/passive',
    find: 'connection.expiresAt = host.now + REQUEST_MILLIS;\n        host.schedule(connection);\n        host.counters.requests++',
    replace: 'host.counters.requests++',
    found: /deadlines|left over/,
  },
  {
    name: 'a REQ that comes twice makes two requests',
    file: 'cm/passive',
    find: 'if (known !== undefined && isSame(known.req, req)) {',
    replace: 'if (known !== undefined && known.state === CmState.ESTABLISHED) {',
    found: /./,
  },
  {
    name: 'communication IDs are given out again while they are in use',
    file: 'cm/identities',
    find: 'if (id !== 0 && !this.#byCommId.has(id) && !this.#requestIds.has(id))',
    replace: 'if (id !== 0)',
    found: /identifiers|exception/,
  },
  {
    name: 'a source may begin without end',
    file: 'cm/identities',
    find: 'return this.#halfOpen >= this.#limits.maxHalfOpen',
    replace: 'return false',
    found: /bounds/,
  },
  {
    name: 'a request that is over is not told to its program',
    file: 'cm/ending',
    find: "this.#end(connection, { type: 'rejected', id, reason, info, privateData });",
    replace: '',
    found: /settling/,
  },
  {
    name: 'an RTU that is lost is not said again',
    file: 'cm/active',
    find: 'connection.answer = this.#host.send(',
    replace: 'this.#host.send(',
    found: /./,
  },
  {
    name: 'a REQ is sent once',
    file: 'cm/active',
    find: 'connection.triesLeft = Number.POSITIVE_INFINITY;',
    replace: '',
    found: /./,
  },
  {
    name: 'a DREQ of unknown IDs gets no answer',
    file: 'cm/ending',
    find: 'host.replyTo(to, from, 0, drepTo(dreq));',
    replace: ';',
    found: /./,
  },
  {
    name: 'a lookup that is answered stays',
    file: 'cm/lookups',
    find: 'this.#forget(lookup);\n            host.emit(',
    replace: 'host.emit(',
    found: /settling|left over/,
  },
  {
    name: 'a message is answered twice',
    file: 'cm/ending',
    find: 'host.reply(connection, drepTo(dreq));',
    replace: 'host.reply(connection, drepTo(dreq)); host.send(connection, drepTo(dreq));',
    found: /storms/,
  },
];

for (const fault of FAULTS) {
  test(`a fault is found: ${fault.name}`, async () => {
    const { seed, failure } = await firstFailure(fault, MAX_SEEDS, WORKER);
    assert.notEqual(seed, -1, 'no seed failed');
    assert.match(failure, fault.found);
  });
}
