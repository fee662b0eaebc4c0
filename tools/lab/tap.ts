/** Reads what `node --test --test-reporter=tap` prints. */

export interface TapResult {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped or failed. */
  readonly detail: string;
}

const RESULT = /^(not ok|ok) \d+ - (.*?)(?: # (SKIP|TODO)\b ?(.*))?$/;
const ERROR = /^ {2}error: (?:'(.*)'|"(.*)"|\|-)$/;

/** The results of the outermost level. */
export function parseTap(text: string): TapResult[] {
  const results: TapResult[] = [];
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    const result = RESULT.exec(line);
    if (result === null) continue;
    const [, verdict, name = '', directive, reason = ''] = result;
    if (directive !== undefined) results.push({ name, outcome: 'skipped', detail: reason });
    else if (verdict === 'ok') results.push({ name, outcome: 'passed', detail: '' });
    else results.push({ name, outcome: 'failed', detail: errorAfter(lines, i) });
  }
  return results;
}

/** The error in the block that follows a result; it ends with a line of three dots. */
function errorAfter(lines: readonly string[], at: number): string {
  for (let i = at + 1; i < lines.length && lines[i] !== '  ...'; i++) {
    const error = ERROR.exec(lines[i] ?? '');
    if (error !== null) return error[1] ?? error[2] ?? (lines[i + 1] ?? '').trim();
  }
  return 'no reason given';
}
