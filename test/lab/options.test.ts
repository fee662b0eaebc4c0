import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheFolder } from '../../tools/lab/folders.js';
import { parseOptions, SCENARIO_NAMES } from '../../tools/lab/options.js';

test('a scenario alone gets the defaults', () => {
  assert.deepEqual(parseOptions(['boot']), {
    scenario: 'boot',
    json: false,
    only: '',
    repeat: 1,
    accelerator: 'tcg',
    timeoutSeconds: 1800,
    verbose: false,
    writeDocs: false,
  });
});

test('flags may stand before and behind the scenario', () => {
  const options = parseOptions([
    '--json',
    'errors',
    '--only',
    'READ',
    '--timeout',
    '60',
    '--kvm',
    '--repeat=9',
  ]);
  assert.equal(options.scenario, 'errors');
  assert.equal(options.json, true);
  assert.equal(options.only, 'READ');
  assert.equal(options.timeoutSeconds, 60);
  assert.equal(options.repeat, 9);
  assert.equal(options.accelerator, 'kvm');
});

test('no scenario, an unknown one and two of them are refused with the list of those that exist', () => {
  for (const args of [[], ['interopp'], ['boot', 'errors']]) {
    assert.throws(() => parseOptions(args), { message: `name one scenario: ${SCENARIO_NAMES.join(', ')}` });
  }
});

test('a time limit that is none is refused', () => {
  for (const seconds of ['0', '-1', '1.5', 'soon', '', '86401']) {
    assert.throws(() => parseOptions(['boot', `--timeout=${seconds}`]), /--timeout takes a whole number/);
  }
});

test('the document is written from the whole of the scenarios interop and cm only', () => {
  for (const name of ['interop', 'cm']) assert.equal(parseOptions([name, '--write-docs']).writeDocs, true);
  assert.throws(() => parseOptions(['errors', '--write-docs']), /needs the whole scenario interop/);
  assert.throws(() => parseOptions(['interop', '--write-docs', '--only', 'SEND']), /needs the whole/);
  assert.throws(() => parseOptions(['interop', '--write-docs', '--repeat', '2']), /needs the whole/);
});

test('the cache is where XDG says, and a relative path there does not count', () => {
  assert.equal(cacheFolder({ XDG_CACHE_HOME: '/var/tmp/x' }), '/var/tmp/x/queuepair/lab');
  assert.match(cacheFolder({ XDG_CACHE_HOME: 'x' }), /^\/.*\/\.cache\/queuepair\/lab$/);
});
