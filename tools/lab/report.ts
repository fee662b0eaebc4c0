/** What the lab writes: results to standard output, progress to standard error. */
import { CaseLine } from './case-line.js';
import type { CaseResult, Summary } from './results.js';

export interface Report {
  say(text: string): void;
  /** This has begun, and whoever sits at a terminal sees for how long it goes on. */
  begin(what: string): void;
  result(result: CaseResult): void;
  summary(summary: Summary): void;
  /** The lab cannot run here. */
  skipped(scenario: string, reason: string): void;
}

const MARKS = { passed: 'ok', failed: 'FAILED', skipped: 'skipped' } as const;

export function createReport(json: boolean): Report {
  const now = new CaseLine();
  const say = (text: string): void => {
    now.clear();
    process.stderr.write(`lab: ${text}\n`);
  };
  const print = (value: object, line: string): void => {
    now.clear();
    process.stdout.write(`${json ? JSON.stringify(value) : line}\n`);
  };
  return {
    say,
    begin: (what) => now.begin(what),
    result: (result) => {
      now.end(result.outcome === 'failed');
      const { name, outcome, detail, millis, facts } = result;
      const more = detail === '' ? '' : `: ${detail}`;
      print({ case: name, outcome, detail, millis, ...facts }, `${MARKS[outcome].padEnd(8)}${name}${more}`);
    },
    summary: (summary) => {
      now.stop();
      const { scenario, passed, failed, skipped } = summary;
      print(
        { scenario, passed, failed, skipped },
        `${scenario}: ${passed} passed, ${failed} failed, ${skipped} skipped`,
      );
    },
    skipped: (scenario, reason) => {
      print({ scenario, skipped: 1, reason }, `${scenario}: skipped: ${reason}`);
    },
  };
}
