/** The options that the program gives to V8. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tierUpFlag } from '../../src/cli/tier-up.js';

const TIER_UP = new URL('../../src/cli/tier-up.js', import.meta.url).href;

test('the option for V8 depends on the version of Node.js, and unknown versions get none', () => {
  assert.equal(tierUpFlag('20.20.2'), '--interrupt-budget=16000');
  assert.equal(tierUpFlag('22.23.5'), '--invocation-count-for-turbofan=500');
  assert.equal(tierUpFlag('24.22.3'), undefined);
  assert.equal(tierUpFlag('200.1.0'), undefined);
});

test('this Node.js knows the option that it is given, and says nothing about it', () => {
  const { status, stderr } = evaluate(`import { tierUpEarly } from '${TIER_UP}'; tierUpEarly();`);
  assert.deepEqual([status, stderr], [0, '']);
});

test('V8 compiles what is called after it sooner than it would by itself', (context) => {
  if (tierUpFlag(process.versions.node) === undefined)
    return context.skip('V8 compiles soon by itself in this version of Node.js');
  const calls = (before: string): string => `
    import { tierUpEarly } from '${TIER_UP}';
    ${before}
    const table = new Float64Array(64);
    function busy(n) {
      ${'table[n & 63] += n * 3; '.repeat(12)}
      return table[n & 63];
    }
    for (let i = 0; i < 900; i++) busy(i);
    setTimeout(() => {
      busy(1);
      // The bit of functions that an optimizing compiler has compiled.
      process.stdout.write(String((%GetOptimizationStatus(busy) & 16) !== 0));
    }, 300);`;
  assert.equal(evaluate(calls('tierUpEarly();')).stdout, 'true');
  assert.equal(evaluate(calls('')).stdout, 'false');
});

function evaluate(text: string) {
  const args = ['--allow-natives-syntax', '--input-type=module', '--eval', text];
  return spawnSync(process.execPath, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    encoding: 'utf8',
  });
}
