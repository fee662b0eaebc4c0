/** The benchmark command: that it measures what it says, not how fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPlan, TEST_NAMES, writePlan } from '../../src/cli/bench/bench-plan.js';
import { DurationSample } from '../../src/cli/bench/distribution.js';
import {
  clientFlags,
  devCerts,
  FREE_DEVICE,
  Program,
  runProgram,
  serve,
  stop,
} from '../../testkit/program.js';

test('percentiles have the wanted share of the sample at or below them, and least and greatest are exact', () => {
  const nanos = fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(nanos, (values) => {
      const sample = new DurationSample();
      for (const value of values) sample.add(value / 1e6);
      const { min, p50, p90, p99, p999, max, mean } = sample.micros();
      const sorted = values.toSorted((a, b) => a - b);
      for (const [share, value] of [
        [0.5, p50],
        [0.9, p90],
        [0.99, p99],
        [0.999, p999],
      ] as const) {
        // The library rounds the rank to the nearest, not up.
        const rank = Math.max(1, Math.min(values.length, Math.floor(share * values.length + 0.5)));
        const wanted = (sorted[rank - 1] ?? 0) / 1e3;
        assert.ok(Math.abs(value - wanted) <= wanted * 1e-4 + 1e-3, `${value} for ${wanted}`);
      }
      assert.ok(Math.abs(min - (sorted[0] ?? 0) / 1e3) < 1e-6 * min);
      assert.ok(Math.abs(max - (sorted.at(-1) ?? 0) / 1e3) < 1e-6 * max);
      assert.ok(mean >= min * (1 - 1e-9) && mean <= max * (1 + 1e-9));
    }),
  );
});

test('the deviation of 2, 4, 4, 4, 5, 5, 7, 9 is 2, their mean 5', () => {
  const sample = new DurationSample();
  for (const micros of [9, 2, 4, 4, 5, 4, 5, 7]) sample.add(micros / 1e3);
  const { deviation, mean } = sample.micros();
  assert.deepEqual([deviation.toFixed(9), mean.toFixed(9)], ['2.000000000', '5.000000000']);
});

test('a sample takes the same memory whether few or many durations come', () => {
  const sample = new DurationSample();
  const add = (): void => {
    for (let i = 0; i < 1_000_000; i++) sample.add(0.017 + (i % 1000) / 1e4);
  };
  add();
  const before = process.memoryUsage();
  add();
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 2 ** 20);
  assert.ok(after.heapUsed - before.heapUsed < 2 ** 22);
});

test('a server refuses plans that it could not keep to', () => {
  const plan = { test: 'send-rtt', size: 64, total: 10, depth: 1 } as const;
  assert.deepEqual(readPlan(writePlan(plan)), plan);
  for (const wrong of [
    { ...plan, test: 'sleep' },
    { ...plan, size: 0 },
    { ...plan, size: 2 ** 22 + 1 },
    { ...plan, total: 0.5 },
    { ...plan, depth: 129 },
    { ...plan, more: 1 },
    [],
    null,
  ]) {
    assert.throws(() => readPlan(Buffer.from(JSON.stringify(wrong))), { code: 'ERR_RDMA_PROTOCOL' });
  }
  assert.throws(() => readPlan(Buffer.from('{')), { code: 'ERR_RDMA_PROTOCOL' });
});

test('all measurements between two processes, and the server goes on to the next client', async () => {
  const certificates = devCerts();
  const server = new Program(['bench', '--json', '--port', '0', ...FREE_DEVICE, ...certificates]);
  const target = `127.0.0.1:${(await server.event('listening'))['port']}`;
  const flags = ['bench', target, '--json', ...FREE_DEVICE, ...certificates];
  const short = ['--count', '40', '--size', '20000', '--depth', '5'];
  const client = await runProgram([...flags, ...short]);
  assert.equal(client.code, 0, client.stderr);
  assert.equal(client.stderr, '', 'no progress where nobody sees it');
  assert.deepEqual(
    client.events.map((event) => event['test']),
    TEST_NAMES,
  );
  for (const { event, test: name, size, count, latency, bandwidth } of client.events) {
    assert.deepEqual([event, size, count], ['result', 20_000, 40]);
    const measured = (latency ?? bandwidth) as Record<string, number>;
    assert.equal(latency === null, String(name).endsWith('-bw'));
    for (const [key, value] of Object.entries(measured)) {
      if (key !== 'unit' && key !== 'deviation') assert(value > 0, `${name} ${key} ${value}`);
    }
    if (bandwidth === null) continue;
    const { seconds, megabytesPerSecond } = bandwidth as Record<string, number>;
    assert(Math.abs(Number(seconds) * Number(megabytesPerSecond) - (40 * 20_000) / 1e6) < 1e-6);
  }

  const cutOff = new Program([...flags, '--test', 'write-bw', '--count', '100000000']);
  await server.event('served', ({ total }) => total === 125_000_000);
  cutOff.kill('SIGKILL');
  const next = await runProgram([...flags, '--test', 'send-rtt', '--count', '1', '--size', '1']);
  assert.equal(next.code, 0, next.stderr);
  server.kill('SIGTERM');
  const { code, events } = await server.ended;
  assert.equal(code, 0);
  assert.deepEqual(
    events.filter(({ event }) => event === 'failed'),
    [],
  );
  assert.equal(events.filter(({ event }) => event === 'served').length, TEST_NAMES.length + 2);
});

test('bench says which UDP port to open, and that the other end is no bench', async () => {
  const certificates = devCerts();
  const bench = new Program(['bench', '--json', '--port', '0', ...FREE_DEVICE, ...certificates]);
  const target = `127.0.0.1:${(await bench.event('listening'))['port']}`;
  const common = ['--json', ...certificates];
  const blocked = await runProgram(['bench', target, ...common, '--device', 'soft:127.0.0.1?port=0&loss=1']);
  assert.equal(blocked.code, 1);
  assert.match(
    blocked.stderr,
    /TCP to 127\.0\.0\.1:\d+ works, but UDP ports \d+ here and \d+ there do not come through/,
  );

  const server = await serve();
  const service = clientFlags(server)[1] ?? '';
  const stranger = await runProgram(['bench', service, ...common, ...FREE_DEVICE]);
  assert.equal(stranger.code, 1);
  assert.match(stranger.stderr, /is no `queuepair bench`: start one there, or give its port/);
  await stop(server);
  const client = await runProgram(['connect', target, ...common, ...FREE_DEVICE, '--exec', 'quit']);
  assert.equal(client.code, 1);
  assert.match(client.stderr, /this end is `queuepair bench`, and yours is not/);

  bench.kill('SIGTERM');
  const { events } = await bench.ended;
  const failures = events.filter(({ event }) => event === 'failed').map(({ message }) => String(message));
  assert.equal(failures.length, 2);
  assert.match(failures[0] ?? '', /UDP ports \d+ here and \d+ there do not come through/);
  assert.match(failures[1] ?? '', /is no `queuepair bench`/);
});
