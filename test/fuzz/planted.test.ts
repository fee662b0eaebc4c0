/** The faults of `npm run fuzz:planted` fit the code as it is; that they are found takes minutes, and is that command's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PLANTED } from '../../tools/fuzz/planted/faults.js';
import { TARGETS } from '../../tools/fuzz/targets.js';

test('every planted fault names a target and a text that occurs once', () => {
  assert.equal(PLANTED.length > 20, true);
  for (const { name, target, file, find, replace } of PLANTED) {
    const text = readFileSync(new URL(`../../src/${file}.js`, import.meta.url), 'utf8');
    assert.equal(text.split(find).length - 1, 1, `${name}: ${find}`);
    assert.notEqual(find, replace, name);
    assert.equal(target in TARGETS, true, name);
  }
});
