/** A line of progress, on the same line of a terminal again and again. */
import type { Output } from '../output.js';

const BAR_CHARS = 30;

/** Where nobody looks at it, nothing is written. */
export function showProgress(done: number, all: number, { json }: Output): void {
  if (json || process.stderr.isTTY !== true) return;
  const part = all === 0 ? 1 : Math.min(1, done / all);
  const bar = '#'.repeat(Math.round(part * BAR_CHARS)).padEnd(BAR_CHARS);
  process.stderr.write(`\r[${bar}] ${Math.round(part * 100)} %${part === 1 ? '\n' : ''}`);
}
