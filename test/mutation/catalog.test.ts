/** The planted faults fit the sources as they are; whether they are noticed takes `npm run mutate` to say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TARGETS } from '../../tools/fuzz/targets.js';
import { FAULTS } from '../../tools/mutation/catalog.js';
import { ROOMS } from '../../tools/mutation/fault.js';
import { testFiles } from '../../tools/mutation/judge.js';
import { codeWith } from '../../tools/mutation/plant.js';
import { packageRoot } from '../tooling/temporary-project.js';

const BUILD = fileURLToPath(new URL('../../', import.meta.url));

test('every fault fits its source once, and what comes out is JavaScript', async () => {
  const problems: string[] = [];
  for (const fault of FAULTS) {
    try {
      await codeWith(fault, packageRoot());
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  assert.deepEqual(problems, [], 'the source changed: these faults have to follow');
});

test('every fault has an id of its own, says what is wrong, and has judges that are there', () => {
  assert.equal(new Set(FAULTS.map(({ id }) => id)).size, FAULTS.length);
  for (const { id, wrong, judges, equivalent } of FAULTS) {
    assert.match(id, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.match(wrong, /^[A-Z].*\.$/s, id);
    assert.notEqual(equivalent, '', id);
    assert.ok(judges.length > 0, id);
    for (const judge of judges) assert.ok(isThere(judge), `${id}: ${judge}`);
  }
});

function isThere(judge: string): boolean {
  const [kind, detail = ''] = judge.split(':');
  if (['sim', 'connections', 'cm'].includes(kind ?? '')) return /^(\d+\.\.\d+)?$/.test(detail);
  return kind === 'fuzz' ? detail in TARGETS : testFiles(BUILD, judge).length > 0;
}

test('every room has faults enough for a score', () => {
  for (const room of ROOMS) {
    const count = FAULTS.filter((fault) => fault.room === room && fault.equivalent === undefined).length;
    assert.ok(count >= 15, `${room}: ${count}`);
  }
});
