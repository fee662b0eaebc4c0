/** The benchmark of scale: what it needs, what it judges, and that a small one gives every figure. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseOptions } from '../../tools/bench/options.js';
import { openFilesLimit, tooFewDescriptors } from '../../tools/bench/scale/open-files.js';
import type { ScalePoint } from '../../tools/bench/scale/scale.js';
import { jsonPoint, judgeScale } from '../../tools/bench/scale/scale-suite.js';
import type { WorkerRate } from '../../tools/bench/scale/worker-rates.js';
import { WrongUsage } from '../../tools/command-line.js';

interface Line {
  readonly event?: string;
  readonly name: string;
  readonly subject: string;
  readonly connections: number;
  readonly server: object;
  readonly idleServerCores: number;
  readonly perSecond: number;
  readonly perServerCoreSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p99AloneMicros: number;
}

const MAIN = fileURLToPath(new URL('../../tools/bench/main.js', import.meta.url));

const point = (subject: ScalePoint['subject'], residentBytes: number, rest: Partial<ScalePoint> = {}) => {
  const memory = { residentBytes, heapBytes: 1024, bufferBytes: 0 };
  return {
    ...{ subject, connections: 1000, active: 1000, perSecond: 200, perServerCoreSecond: 300 },
    ...{
      perClientCoreSecond: 310,
      server: memory,
      client: memory,
      idleServerCores: 0.02,
      idleClientCores: 0,
      idleServerCollectedMillis: 0,
    },
    ...{ p50Micros: 90, p99Micros: 200, p50AloneMicros: 80, p99AloneMicros: 100 },
    ...rest,
  };
};

test('too few descriptors are told in one sentence that says how many are needed', () => {
  assert.equal(tooFewDescriptors(1000, 1100), undefined);
  assert.equal(
    tooFewDescriptors(10_000, 1024),
    "10000 connections need 10100 descriptors in each process, and 'ulimit -n' allows 1024: " +
      "raise it ('ulimit -n 10100') or choose fewer with --connections",
  );
  assert.ok(openFilesLimit() > 0);
});

test('goals of scale are judged at the largest point, memory beside buffers, and that of bare TLS is told beside it', () => {
  const BUFFERS = { bufferBytes: 29 * 1024, heapBytes: 1024 };
  const points = [
    point('queuepair', 400 * 1024, { connections: 10 }),
    point('queuepair', 0, { server: { residentBytes: 45 * 1024, ...BUFFERS } }),
    point('bare-tls', 10 * 1024),
  ];
  assert.deepEqual(
    judgeScale(points).map(({ goal, met, detail }) => [goal, met, detail]),
    [
      [
        'server memory beside buffers ≤ 16 KiB at 1000, queuepair',
        true,
        '16.0 KiB, 6.0 KiB more than bare TLS',
      ],
      ['connections per server core second ≥ 300 at 1000, queuepair', true, '300'],
      ['idle ≤ 0.02 of a core at 1000, queuepair', true, '0.0200'],
      ['p99 beside silent ones ≤ 2 × without at 1000, queuepair', true, '2.00 ×'],
    ],
  );
  const worse = [
    point('queuepair', 16 * 1024 + 1, { perServerCoreSecond: 299, idleServerCores: 0.03, p99Micros: 201 }),
  ];
  assert.deepEqual(
    judgeScale(worse).map(({ met }) => met),
    [false, false, false, false],
  );
  assert.equal(judgeScale(worse)[0]?.detail, '16.0 KiB');
  const both = judgeScale([point('queuepair', 1), point('queuepair-brief', 1024), point('bare-tls', 3072)]);
  assert.equal(both[4]?.detail, '1.0 KiB, 2.0 KiB less than bare TLS');
  assert.equal(both.length, 8);
  assert.ok(both.slice(4).every(({ goal }) => goal.endsWith(', queuepair-brief')));
  assert.deepEqual(judgeScale([point('bare-tls', 1)]), []);
});

test('a point becomes one line of JSON', () => {
  const line = JSON.parse(jsonPoint(point('queuepair', 4096))) as Line;
  assert.equal(line.name, 'scale');
  assert.deepEqual(line.server, { residentKiB: 4, heapKiB: 1, buffersKiB: 0 });
  assert.equal(line.p99Micros, 200);
});

test('points are numbers, and for this benchmark alone', () => {
  assert.deepEqual(parseOptions(['--only', 'scale', '--connections', '10,2000']).connections, [10, 2000]);
  assert.deepEqual(parseOptions([]).connections, []);
  assert.throws(() => parseOptions(['--connections', '10']), WrongUsage);
  assert.throws(() => parseOptions(['--only', 'scale', '--connections', '0']), WrongUsage);
  assert.equal(parseOptions(['--only', 'scale', '--lifeline', 'brief']).lifeline, 'brief');
  assert.equal(parseOptions(['--only', 'scale']).lifeline, undefined);
  assert.throws(() => parseOptions(['--lifeline', 'brief']), WrongUsage);
  assert.throws(() => parseOptions(['--only', 'scale', '--lifeline', 'long']), WrongUsage);
});

test('the benchmark says at once when there are too few descriptors', () => {
  const args = [MAIN, '--only', 'scale', '--connections', '10000000', '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /10001200 connections need 10001300 descriptors/);
});

test('a small point gives every figure of all subjects', () => {
  const args = [MAIN, '--only', 'scale', '--connections', '20', '--quick', '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
    .filter(({ event, subject }) => event === undefined && subject !== 'workers');
  assert.deepEqual(
    lines.map(({ subject }) => subject),
    ['queuepair', 'queuepair-brief', 'bare-tls'],
  );
  const rates = stdout.split('\n').filter((line) => line.includes('"subject":"workers"'));
  assert.deepEqual(
    rates.map((line) => {
      const { workers, handler, messagesPerSecond, serverCores } = JSON.parse(line) as WorkerRate;
      assert.ok(messagesPerSecond > 0 && serverCores > 0, line);
      return `${workers} ${handler}`;
    }),
    ['0 echo', '0 work', '1 echo', '1 work', '2 echo', '2 work'],
  );
  for (const line of lines) {
    assert.equal(line.connections, 20);
    for (const name of [
      'perSecond',
      'perServerCoreSecond',
      'p50Micros',
      'p99Micros',
      'p99AloneMicros',
    ] as const)
      assert.ok(line[name] > 0, `${line.subject}: ${name} ${line[name]}`);
    assert.ok(line.idleServerCores >= 0);
  }
});
