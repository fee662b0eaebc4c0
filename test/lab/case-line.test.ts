/** What whoever waits for the lab sees on a terminal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaseLine } from '../../tools/lab/case-line.js';

function terminal(isTTY: boolean) {
  const written: string[] = [];
  const stream = { isTTY, columns: 80, write: (text: string) => written.push(text) > 0 };
  let now = 0;
  const line = new CaseLine(stream as unknown as NodeJS.WriteStream, () => now);
  return { line, written, pass: (millis: number) => (now += millis) };
}

test('the line says what goes on, since when, and how many cases are done; it is gone before anything else is written', () => {
  const { line, written, pass } = terminal(true);
  line.begin('the machine boots');
  assert.equal(written.at(-1), '\r0 s  0 done  the machine boots (0 s)');
  pass(65_000);
  line.begin('first');
  line.end(false);
  line.begin('second');
  line.end(true);
  assert.match(written.at(-1) ?? '', /^\r +\r$/);
  pass(5000);
  line.begin('third');
  assert.match(written.at(-1) ?? '', /^\r1:10 {2}2 done, 1 failed {2}third \(0 s\)/);
  line.stop();
  assert.match(written.at(-1) ?? '', /^\r +\r$/);
});

test('where nobody sits at a terminal there is no line', () => {
  const { line, written } = terminal(false);
  line.begin('the machine boots');
  line.end(false);
  line.stop();
  assert.deepEqual(written, []);
});
