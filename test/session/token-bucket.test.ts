/** Token buckets: never more than a burst and what came, in whatever pieces time passes, and whoever takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { BUCKET_WORDS, MOST_BURST, TokenBucket } from '../../src/session/token-bucket.js';
import { Random } from '../../testkit/random.js';

function filled(perSecond: number, burst: number, now = 0): TokenBucket {
  const bucket = new TokenBucket(new Int32Array(BUCKET_WORDS), 0, { perSecond, burst });
  bucket.fill(now);
  return bucket;
}

test('a bucket begins with its burst, and never has more', () => {
  const bucket = filled(1000, 50);
  assert.equal(bucket.balance, 50);
  assert.ok(bucket.refill(10_000));
  assert.equal(bucket.balance, 50);
  assert.ok(bucket.isFull);
});

test('what was used beyond what was there is owed, and must come in before more may be used', () => {
  const bucket = filled(1000, 50);
  bucket.take(150, 0);
  assert.equal(bucket.refill(0), false);
  assert.equal(bucket.waitMillis, 101);
  assert.equal(bucket.refill(100), false, 'what owes nothing has nothing yet');
  assert.equal(bucket.waitMillis, 1);
  assert.equal(bucket.refill(101), true);
  assert.equal(bucket.balance, 1);
  bucket.take(60, 5000);
  assert.equal(bucket.balance, -10, 'what came beyond the burst is not used');
});

for (let seed = 1; seed <= 20; seed++)
  test(`no part of a token is lost or made by the pieces in which time passes (seed ${seed})`, () => {
    const random = new Random(seed);
    const perSecond = random.int(1, seed % 2 === 0 ? 50 : 5_000_000);
    const beginsAt = 2 ** 32 - random.int(0, 100_000);
    const bucket = filled(perSecond, MOST_BURST, beginsAt);
    bucket.take(2 * MOST_BURST - 1, beginsAt);
    const owed = bucket.balance;
    let now = beginsAt;
    const endsAt = beginsAt + 60_000;
    while (now < endsAt) {
      now = Math.min(endsAt, now + random.int(0, 400) / 10);
      bucket.refill(now);
    }
    const came = bucket.balance - owed;
    assert.ok(Math.abs(came - 60 * perSecond) <= 1, `${came} of ${60 * perSecond}`);
  });

test('more is used over any time than the burst and what came, by no more than what was used last', () => {
  const random = new Random(7);
  const bucket = filled(10_000, 3000);
  let used = 0;
  for (let now = 0; now < 20_000; now += random.int(1, 40)) {
    while (bucket.refill(now)) {
      const tokens = random.int(1, 500);
      bucket.take(tokens, now);
      used += tokens;
    }
    assert.ok(used <= 3000 + now * 10 + 500, `${used} after ${now} ms`);
  }
  assert.ok(used >= 19_900 * 10, `what came was used: ${used}`);
});

test('a clock that is a little behind adds nothing, and one that was not asked for weeks fills the bucket', () => {
  const bucket = filled(1000, 50, 5000);
  bucket.take(150, 5000);
  assert.equal(bucket.refill(4000), false);
  assert.equal(bucket.balance, -100);
  assert.equal(bucket.refill(5000 + 30 * 86_400_000), true, 'longer than half of 2^32 ms');
  assert.equal(bucket.balance, 50);
});

test('a debt has an end that a word holds', () => {
  const bucket = filled(1, MOST_BURST);
  for (let i = 0; i < 10; i++) bucket.take(2 ** 31, 0);
  assert.equal(bucket.balance, -MOST_BURST);
});

test('time that another thread has counted meanwhile is not counted again', (t) => {
  const words = new Int32Array(BUCKET_WORDS);
  const rate = { perSecond: 1000, burst: 1000 };
  const [bucket, other] = [new TokenBucket(words, 0, rate), new TokenBucket(words, 0, rate)];
  bucket.fill(0);
  bucket.take(1000, 0);
  const load = Atomics.load;
  let isFirst = true;
  t.mock.method(Atomics, 'load', (from: Int32Array, at: number): number => {
    const value = load(from, at);
    // Between this look at the time and what comes of it.
    if (isFirst && at === 1) {
      isFirst = false;
      other.refill(100);
    }
    return value;
  });
  bucket.refill(100);
  assert.equal(isFirst, false);
  assert.equal(bucket.balance, 100);
});

test('threads that share a bucket take each token once, and count time once', async () => {
  const words = new Int32Array(new SharedArrayBuffer(BUCKET_WORDS * 4));
  const rate = { perSecond: 1_000_000, burst: 1_000_000 };
  const bucket = new TokenBucket(words, 0, rate);
  bucket.fill(0);
  bucket.take(MOST_BURST, 0);
  const owed = bucket.balance;
  const source = `
    const { workerData } = require('node:worker_threads');
    import(workerData.module).then(({ TokenBucket }) => {
      const bucket = new TokenBucket(workerData.words, 0, workerData.rate);
      for (let now = 1; now <= 500; now++) {
        bucket.refill(now);
        for (let i = 0; i < 100; i++) bucket.take(3, now);
      }
    });`;
  const module = new URL('../../src/session/token-bucket.js', import.meta.url).href;
  const ends = Array.from({ length: 2 }, () => {
    const worker = new Worker(source, { eval: true, workerData: { words, rate, module } });
    return new Promise<void>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', () => resolve());
    });
  });
  await Promise.all(ends);
  assert.equal(bucket.balance, owed + 500_000 - 2 * 500 * 100 * 3);
});
