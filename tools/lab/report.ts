/** What the lab writes: results to standard output, progress to standard error. */
import type { CaseResult, Summary } from './results.js';

export interface Report {
  say(text: string): void;
  result(result: CaseResult): void;
  summary(summary: Summary): void;
  /** The lab cannot run here. */
  skipped(scenario: string, reason: string): void;
}

const MARKS = { passed: 'ok', failed: 'FAILED', skipped: 'skipped' } as const;

export function createReport(json: boolean): Report {
  const say = (text: string): void => void process.stderr.write(`lab: ${text}\n`);
  const print = (value: object, line: string): void =>
    void process.stdout.write(`${json ? JSON.stringify(value) : line}\n`);
  return {
    say,
    result: (result) => {
      const { name, outcome, detail, millis, facts } = result;
      const more = detail === '' ? '' : `: ${detail}`;
      print({ case: name, outcome, detail, millis, ...facts }, `${MARKS[outcome].padEnd(8)}${name}${more}`);
    },
    summary: (summary) => {
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
