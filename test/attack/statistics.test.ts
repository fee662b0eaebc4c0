/** The statistics must accept what chance brings and refuse what it does not: an attack that cannot fail shows nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duration, fitsBinomial, fitsUniformMean, fitsWaiting } from '../../tools/attack/statistics.js';

test('hits that fit the probability pass, twice or half as many do not', () => {
  assert.ok(fitsBinomial(500, 1000, 0.5));
  assert.ok(fitsBinomial(540, 1000, 0.5));
  assert.ok(!fitsBinomial(1000, 1000, 0.5));
  assert.ok(!fitsBinomial(250, 1000, 0.5));
});

test('few hits are judged by their own distribution, not by a normal one', () => {
  // 0.06 expected: three are one run in 30,000, four one in two million.
  assert.ok(fitsBinomial(3, 1_000_000, 1 / 2 ** 24));
  assert.ok(!fitsBinomial(4, 1_000_000, 1 / 2 ** 24));
  // Twelve expected: none means that the attack reached nobody.
  assert.ok(fitsBinomial(1, 200_000, 4 / 65_536));
  assert.ok(!fitsBinomial(0, 200_000, 4 / 65_536));
  assert.ok(fitsBinomial(28, 200_000, 4 / 65_536));
  assert.ok(!fitsBinomial(31, 200_000, 4 / 65_536));
});

test('many hits are judged as few are: the probability of none may be too small for a number', () => {
  assert.ok(fitsBinomial(760, 1_000_000, 7.6e-4));
  assert.ok(fitsBinomial(10_000, 1_000_000_000, 1e-5));
  assert.ok(!fitsBinomial(640, 1_000_000, 7.6e-4));
  assert.ok(!fitsBinomial(890, 1_000_000, 7.6e-4));
  assert.ok(fitsWaiting(1_000_000, 760, 7.6e-4));
});

test('no hit at all and nothing but hits are hits, too', () => {
  assert.ok(fitsBinomial(0, 1000, 1e-6));
  assert.ok(fitsBinomial(1000, 1000, 1 - 1e-6));
  assert.ok(!fitsBinomial(0, 1000, 0.5));
});

test('the mean of sweeps through half a space is not taken for that of the whole one', () => {
  assert.ok(fitsUniformMean(32_768, 24, 65_536));
  assert.ok(!fitsUniformMean(16_384, 24, 32_768 * 2));
});

test('waiting times tell a window of 16 from one of 32', () => {
  assert.ok(fitsWaiting(32 * 4096, 32, 16 / 65_536));
  assert.ok(!fitsWaiting(32 * 1024, 32, 16 / 65_536));
});

test('durations are told in the unit that people would choose', () => {
  assert.equal(duration(8.39), '8.39 s');
  assert.equal(duration(1200), '20 min');
  assert.equal(duration(4e9), '127 years');
});
