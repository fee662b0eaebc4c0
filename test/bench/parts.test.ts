import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { type Goal, isNamed, judge } from '../../tools/bench/benchmark.js';
import { readLibfabric } from '../../tools/bench/libfabric.js';
import { parseOptions } from '../../tools/bench/options.js';
import { RoundTripRecorder } from '../../tools/bench/peers/recorders.js';
import { FrameReader, FrameWriter } from '../../tools/bench/peers/socket-frames.js';
import { jsonOutcome, textOutcome } from '../../tools/bench/report.js';
import { runBenchmark } from '../../tools/bench/rounds.js';
import { median, spreadOf } from '../../tools/bench/statistics.js';
import { readUcx } from '../../tools/bench/ucx.js';

test('medians and spreads do not depend on the order of the sample', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.deepEqual(spreadOf([10, 9, 100]), { value: 10, low: 9, high: 100, rounds: 3 });
  assert.ok(Number.isNaN(median([])));
});

test('a goal is met up to its bound, and is not judged when a value is missing', () => {
  const values = new Map([
    ['ours', { value: 9, p99: 30, worst: 11 }],
    ['floor', { value: 5, p99: 10, worst: 8 }],
  ]);
  const verdict = (goal: Goal) => judge(goal, 'µs', (name) => values.get(name));
  assert.equal(verdict({ subject: 'ours', relation: '≤', factor: 1.8, other: 'floor' }).met, true);
  assert.equal(verdict({ subject: 'ours', relation: '≤', factor: 1.7, other: 'floor' }).met, false);
  assert.equal(verdict({ subject: 'ours', relation: '≥', factor: 1, other: 'floor' }).met, true);
  assert.equal(verdict({ subject: 'ours', relation: '≤', factor: 3 }).met, false);
  const tail = verdict({ subject: 'ours', of: 'p99', relation: '≤', factor: 2.5, other: 'floor' });
  assert.deepEqual(tail, { text: 'ours, p99, ≤ 2.5 × floor', met: false, detail: '3.00 × floor' });
  assert.equal(verdict({ subject: 'ours', of: 'p99', relation: '≤', factor: 3, other: 'floor' }).met, true);
  assert.equal(verdict({ subject: 'ours', of: 'worst', relation: '≤', factor: 10 }).met, false);
  assert.equal(verdict({ subject: 'ours', of: 'worst', relation: '≤', factor: 11 }).met, true);
  const missing = verdict({ subject: 'ours', relation: '≤', factor: 1, other: 'ucx-tcp' });
  assert.deepEqual([missing.met, missing.detail], [null, 'no value of ucx-tcp']);
});

test('the output of ucx_perftest is read in our units', () => {
  const heading = 'iterations,50.0_percentile_lat,avg_lat,overall_lat,avg_bw,overall_bw,avg_mr,overall_mr\n';
  const latency = `${heading}50000,3.651,10.864,15.201,5.62,4.02,92050,65784\n`;
  assert.equal(readUcx('ping', 64, latency).value, 7.302);
  const bandwidth = `${heading}2000,0.467,2578.226,500.000,387.86,2000.00,388,2000\n`;
  assert.equal(readUcx('send', 1_000_000, bandwidth).value, 2000);
  assert.equal(readUcx('rate', 64, `${heading}500000,0.338,1.127,0.5,54.15,54.15,887198,2000000`).value, 2e6);
  assert.throws(() => readUcx('ping', 64, 'no transport'), /cannot read the output.*no transport/);
});

test('the output of fi_pingpong is read in our units', () => {
  const output = [
    'bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec',
    '64      20k     =20k     2.4m        0.21s     12.32       5.20       0.19',
  ].join('\n');
  assert.equal(readLibfabric('ping', 64, output).value, 10.4);
  assert.equal(readLibfabric('flow', 5_200_000, output).value, 1_000_000);
  assert.throws(() => readLibfabric('ping', 64, 'fi_getinfo: -61'), /fi_getinfo: -61/);
});

test('frames come out whole wherever the stream is cut', () => {
  const messages = 20;
  const bytes = 64;
  const writer = new FrameWriter(messages, bytes);
  for (let i = 0; i < messages; i++) writer.add(Buffer.alloc(bytes, i + 1));
  for (let round = 0; round < 50; round++) {
    const reader = new FrameReader(bytes, messages);
    const cuts: number[] = [];
    for (let at = 0; at < writer.bytes.length; ) {
      const length = Math.min(randomInt(1, 3 * bytes), writer.bytes.length - at);
      cuts.push(length);
      reader.take(writer.bytes.subarray(at, at + length), length);
      at += length;
    }
    assert.equal(reader.messages, messages, `cuts ${cuts}`);
    for (let i = 0; i < messages; i++) {
      assert.deepEqual(reader.message(i, bytes), Buffer.alloc(bytes, i + 1), `message ${i}, cuts ${cuts}`);
    }
  }
});

test('a frame that is longer than a slot is refused', () => {
  const writer = new FrameWriter(1, 65);
  writer.add(Buffer.alloc(65));
  assert.throws(() => new FrameReader(64, 4).take(writer.bytes, writer.bytes.length), /65 bytes, 64 at most/);
});

test('round trips of the warm-up are left out of the result', () => {
  const recorder = new RoundTripRecorder({ bytes: 1, count: 20, warmup: 5, depth: 1, batch: 10 });
  const spin = (millis: number): void => {
    for (const until = performance.now() + millis; performance.now() < until; );
  };
  const ends: boolean[] = [];
  for (let i = 0; i < 25; i++) {
    spin(i < 5 ? 20 : 0.01);
    ends.push(recorder.tick());
  }
  assert.equal(ends.indexOf(true), 24);
  const { value, p99 } = recorder.result();
  assert.ok(value >= 10 && value < 5000, `median ${value} µs`);
  assert.ok((p99 ?? 0) >= value, `p99 ${p99} µs`);
});

test('subjects take turns, and one that fails or is skipped does not stop the others', async () => {
  const turns: string[] = [];
  const subject = (name: string, values: readonly (number | Error)[]) => ({
    name,
    run: async () => {
      turns.push(name);
      const value = values[turns.filter((turn) => turn === name).length - 1];
      if (value instanceof Error) throw value;
      return { value: value ?? 0 };
    },
  });
  const outcome = await runBenchmark(
    {
      name: 'demo',
      title: 'a demonstration',
      unit: 'µs',
      better: 'lower',
      ours: ['ours'],
      subjects: [
        subject('ours', [3, 1, 2]),
        subject('broken', [8, new Error('it broke')]),
        { ...subject('absent', []), skipped: 'not installed' },
        subject('peer', [4, 4, 5]),
      ],
      goals: [{ subject: 'ours', relation: '≤', factor: 0.5, other: 'peer' }],
    },
    3,
    () => undefined,
  );
  assert.deepEqual(turns, ['ours', 'broken', 'peer', 'ours', 'broken', 'peer', 'ours', 'peer']);
  const lines = jsonOutcome(outcome).map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(lines, [
    { name: 'demo', subject: 'ours', value: 2, unit: 'µs', low: 1, high: 3, rounds: 3 },
    { name: 'demo', subject: 'broken', value: 8, unit: 'µs', low: 8, high: 8, rounds: 1 },
    { event: 'failed', name: 'demo', subject: 'broken', reason: 'it broke' },
    { event: 'skipped', name: 'demo', subject: 'absent', reason: 'not installed' },
    { name: 'demo', subject: 'peer', value: 4, unit: 'µs', low: 4, high: 5, rounds: 3 },
    { event: 'goal', name: 'demo', goal: 'ours ≤ 0.5 × peer', met: true, detail: '0.50 × peer' },
  ]);
  const text = textOutcome(outcome).join('\n');
  assert.match(text, /peer +4\.00 +4\.00 – 5\.00 +2\.00 ×/);
  assert.match(text, /goal ours ≤ 0\.5 × peer: met/);
  assert.match(text, /absent skipped: not installed/);
});

test('options are read, and wrong ones are refused', () => {
  assert.equal(parseOptions([]).rounds, 5);
  assert.equal(parseOptions(['--quick']).rounds, 2);
  assert.deepEqual(parseOptions(['--only', 'connect,msg-rate', '--only', 'send-bw']).only, [
    'connect',
    'msg-rate',
    'send-bw',
  ]);
  assert.throws(() => parseOptions(['--rounds', '0']), /--rounds/);
  assert.throws(() => parseOptions(['--onyl', 'connect']), /onyl/);
  assert.equal(isNamed('send-rtt-4k', 'send-rtt'), true);
  assert.equal(isNamed('send-rtt', 'send-rtt-4k'), false);
});
