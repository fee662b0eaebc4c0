/**
 * Runs one benchmark: rounds on the outside, subjects on the inside, so that whatever disturbs the machine for a while
 * disturbs all of them. A subject that fails is reported and the others go on.
 */
import { type Benchmark, type Judged, judge, type Subject, type Verdict } from './benchmark.js';
import type { PeerResult } from './peer-protocol.js';
import { median, type Spread, spreadOf } from './statistics.js';

export interface Part extends Spread {
  readonly name: string;
}

export interface Row {
  readonly subject: string;
  readonly note?: string;
  /** `undefined`: no round gave a value. */
  readonly spread?: Spread;
  /** Median over the rounds of the 99th percentile. */
  readonly p99?: number;
  readonly parts: readonly Part[];
  readonly skipped?: string;
  readonly failed?: string;
}

export interface Outcome {
  readonly benchmark: Benchmark;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
}

interface Tally {
  readonly subject: Subject;
  readonly results: PeerResult[];
  failed?: string;
}

export async function runBenchmark(
  benchmark: Benchmark,
  rounds: number,
  tell: (progress: string) => void,
): Promise<Outcome> {
  const tallies = benchmark.subjects.map((subject): Tally => ({ subject, results: [] }));
  for (let round = 1; round <= rounds; round++) {
    for (const tally of tallies) {
      const { name, skipped } = tally.subject;
      // One failure is enough: a subject that fails costs its whole deadline.
      if (skipped !== undefined || tally.failed !== undefined) continue;
      tell(`${benchmark.name}: round ${round} of ${rounds}, ${name}`);
      try {
        tally.results.push(await tally.subject.run());
      } catch (error) {
        tally.failed = error instanceof Error ? error.message : String(error);
        tell(`${benchmark.name}: ${name} failed: ${tally.failed}`);
      }
    }
  }
  const rows = tallies.map(toRow);
  const find = (subject: string): Judged | undefined => {
    const { spread, p99 } = rows.find((row) => row.subject === subject) ?? {};
    if (spread === undefined) return undefined;
    const worst = benchmark.better === 'higher' ? spread.low : spread.high;
    return { value: spread.value, worst, ...(p99 === undefined ? {} : { p99 }) };
  };
  const verdicts = benchmark.goals.map((goal) => judge(goal, benchmark.unit, find));
  return { benchmark, rows, verdicts };
}

function toRow({ subject, results, failed }: Tally): Row {
  const { name, note, skipped } = subject;
  const p99s = results.flatMap(({ p99 }) => (p99 === undefined ? [] : [p99]));
  return {
    subject: name,
    ...(note === undefined ? {} : { note }),
    ...(results.length === 0 ? {} : { spread: spreadOf(results.map(({ value }) => value)) }),
    ...(p99s.length === 0 ? {} : { p99: median(p99s) }),
    parts: Object.keys(results[0]?.parts ?? {}).map((part) => ({
      name: part,
      ...spreadOf(results.map(({ parts }) => parts?.[part] ?? Number.NaN)),
    })),
    ...(skipped === undefined ? {} : { skipped }),
    ...(failed === undefined ? {} : { failed }),
  };
}
