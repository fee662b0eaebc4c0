import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderCm } from '../../tools/lab/cm-document.js';
import { renderInterop, withPart } from '../../tools/lab/interop-document.js';
import {
  type CaseResult,
  exitCodeOf,
  OneReason,
  ResultCollector,
  SkipCase,
} from '../../tools/lab/results.js';

function collector(only = '', repeat = 1): { results: ResultCollector; seen: CaseResult[] } {
  const seen: CaseResult[] = [];
  let now = 0;
  const clock = (): number => {
    now += 5;
    return now;
  };
  return {
    results: new ResultCollector(
      'trial',
      only,
      (result) => seen.push(result),
      clock,
      () => {},
      repeat,
    ),
    seen,
  };
}

test('a case that throws has failed, and the next one runs all the same', async () => {
  const { results, seen } = collector();
  assert.equal(
    await results.run('first', {}, async () => {
      throw new Error('broken');
    }),
    'failed',
  );
  assert.equal(await results.run('second', { mtu: 256 }, async () => 'fine'), 'passed');
  assert.equal(
    await results.run('third', {}, async () => {
      throw new SkipCase('not here');
    }),
    'skipped',
  );
  assert.deepEqual(seen, [
    { name: 'first', outcome: 'failed', detail: 'broken', millis: 5, facts: {} },
    { name: 'second', outcome: 'passed', detail: 'fine', millis: 5, facts: { mtu: 256 } },
    { name: 'third', outcome: 'skipped', detail: 'not here', millis: 5, facts: {} },
  ]);
  assert.deepEqual(results.summary(), { scenario: 'trial', passed: 1, failed: 1, skipped: 1 });
});

test('a case that was not asked for neither runs nor counts', async () => {
  const { results, seen } = collector('READ');
  const outcome = await results.run('SEND', {}, () => assert.fail('must not run'));
  assert.equal(outcome, undefined);
  assert.equal(await results.run('READ 1', {}, async () => {}), 'passed');
  assert.equal(seen.length, 1);
});

test('a case that is repeated counts each time, and each result says which one it is', async () => {
  const { results, seen } = collector('READ', 3);
  let runs = 0;
  const work = async (): Promise<void> => {
    if (++runs === 2) throw new Error('now and then');
  };
  assert.equal(await results.run('READ', {}, work), 'passed');
  assert.deepEqual(
    seen.map(({ name, outcome }) => `${name} ${outcome}`),
    ['READ (1 of 3) passed', 'READ (2 of 3) failed', 'READ (3 of 3) passed'],
  );
  assert.deepEqual(results.summary(), { scenario: 'trial', passed: 2, failed: 1, skipped: 0 });
});

test('when the first three cases fail for one reason the scenario ends, with that reason', async () => {
  const { results, seen } = collector();
  const fail = (reason: string) => () => Promise.reject(new Error(reason));
  await results.run('first', {}, fail('no such device'));
  await results.run('second', {}, fail('no such device'));
  await assert.rejects(
    results.run('third', {}, fail('no such device')),
    (error) => error instanceof OneReason && error.message === 'no such device',
  );
  assert.equal(seen.length, 3);
  assert.equal(exitCodeOf(results.summary()), 1);
});

test('cases that fail for reasons of their own, or beside one that passes, end nothing', async () => {
  const fail = (reason: string) => () => Promise.reject(new Error(reason));
  for (const first of [fail('another reason'), async () => 'fine']) {
    const { results } = collector();
    await results.run('first', {}, first);
    for (let i = 0; i < 5; i++) await results.run(`next ${i}`, {}, fail('no such device'));
    assert.equal(results.results.length, 6);
  }
});

test('a run in which something failed, or that had no case at all, ends with 1', () => {
  const exitCode = (passed: number, failed: number, skipped: number): number =>
    exitCodeOf({ scenario: 'trial', passed, failed, skipped });
  assert.equal(exitCode(3, 0, 1), 0);
  assert.equal(exitCode(3, 1, 0), 1);
  assert.equal(exitCode(0, 0, 4), 0);
  assert.equal(exitCode(0, 0, 0), 1);
});

test('the document shows each result in its cell, and what did not run as not run', () => {
  const result = (outcome: CaseResult['outcome'], facts: CaseResult['facts']): CaseResult => ({
    name: 'SEND rxe → soft IPv6 MTU 512',
    outcome,
    detail: '1 bytes: the data differs',
    millis: 1,
    facts,
  });
  const text = renderInterop(
    [
      result('passed', { operation: 'SEND', direction: 'soft → rxe', ip: 4, mtu: 256 }),
      result('failed', { operation: 'SEND', direction: 'rxe → soft', ip: 6, mtu: 512 }),
      result('passed', { what: '1 MiB READ', direction: 'rxe → soft', ip: 4, network: '1 % loss' }),
    ],
    '6.1.0-1-amd64',
  );
  const rows = text.split('\n').filter((line) => line.startsWith('| SEND |'));
  const notRun = (count: number): string => ' not run |'.repeat(count);
  assert.deepEqual(rows, [`| SEND | yes |${notRun(9)}`, `| SEND |${notRun(6)} **no** |${notRun(3)}`]);
  assert.match(text, /\| 1 % loss \| 1 MiB READ \| not run \| not run \| yes \| not run \|/);
  assert.match(text, /- SEND rxe → soft IPv6 MTU 512: 1 bytes: the data differs/);
  assert.match(text, /Linux 6\.1\.0-1-amd64/);
});

test('a part of the document is put where it was, and the others stay', () => {
  const first = withPart('', 'interop', 'one');
  const both = withPart(first, 'cm', 'two');
  assert.match(first, /^# Interoperation/);
  assert.equal(withPart(both, 'interop', 'three'), both.replace('one', 'three'));
  assert.equal(withPart(both, 'cm', 'four'), both.replace('two', 'four'));
});

test('the part of rdma_cm shows programs, failures, lost messages and what was on the wire', () => {
  const result = (outcome: CaseResult['outcome'], facts: CaseResult['facts'], detail = ''): CaseResult => ({
    ...{ name: 'a case', outcome, detail, millis: 1, facts },
  });
  const text = renderCm(
    [
      result('passed', { program: 'rping', ip: 6, device: 'soft', role: 'client' }),
      result('failed', { program: 'rping', ip: 6, device: 'rxe', role: 'server' }, 'no answer'),
      result('passed', { failure: 'no listener', device: 'soft' }),
      result('passed', { lost: 'DREQ', role: 'server' }),
      result('passed', { what: 'wire' }, '7 packets'),
    ],
    '6.1.0-1-amd64',
  );
  for (const line of [
    '| rping, IPv6 | yes | not run | not run | **no** |',
    '| no listener | yes | – |',
    '| DREQ | – | yes |',
    '- a case: no answer',
    'What was on the wire in that run: 7 packets. Malformed according to tshark: none.',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
});
