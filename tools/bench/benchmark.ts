/** The vocabulary of the suite: benchmarks, their subjects, and the goals that are judged on them. */
import type { PeerResult } from './peer-protocol.js';

export interface Subject {
  readonly name: string;
  /** What one must know to compare it. */
  readonly note?: string;
  /** Why it cannot run here. */
  readonly skipped?: string;
  /** One round: everything that it starts is gone when it settles. */
  run(): Promise<PeerResult>;
}

export interface Goal {
  readonly subject: string;
  /** What of it is judged: the median (default), the 99th percentile, or the worst of the rounds. Of `other` the same, but of the worst. */
  readonly of?: 'p99' | 'worst';
  readonly relation: '≤' | '≥';
  /** Times the value of `other`, or the bound itself where there is no other. */
  readonly factor: number;
  readonly other?: string;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** Subjects that stand for this package, the best first: the ratios of all others are to the first that ran. */
  readonly ours: readonly string[];
  readonly subjects: readonly Subject[];
  readonly goals: readonly Goal[];
}

export interface Verdict {
  readonly text: string;
  /** `null` when one of the values is missing. */
  readonly met: boolean | null;
  /** How the subject compares, or what is missing. */
  readonly detail: string;
}

/** What rounds gave of a subject. */
export interface Judged {
  readonly value: number;
  readonly p99?: number;
  readonly worst: number;
}

export function judge(goal: Goal, unit: string, find: (subject: string) => Judged | undefined): Verdict {
  const { subject, of, relation, factor, other } = goal;
  const times = factor === 1 ? '' : `${Number(factor.toFixed(2))} × `;
  const bound = other === undefined ? `${factor.toLocaleString('en-US')} ${unit}` : `${times}${other}`;
  const which = of === undefined ? '' : of === 'p99' ? ', p99,' : ', worst round,';
  const text = `${subject}${which} ${relation} ${bound}`;
  const value = find(subject)?.[of ?? 'value'];
  const base = other === undefined ? 1 : find(other)?.[of === 'p99' ? 'p99' : 'value'];
  if (value === undefined || base === undefined) {
    return { text, met: null, detail: `no value of ${value === undefined ? subject : other}` };
  }
  const met = relation === '≤' ? value <= factor * base : value >= factor * base;
  const detail =
    other === undefined ? `${value.toPrecision(3)} ${unit}` : `${(value / base).toFixed(2)} × ${other}`;
  return { text, met, detail };
}

/** `send-rtt` also names `send-rtt-4k`. */
export const isNamed = (benchmark: string, name: string): boolean =>
  benchmark === name || benchmark.startsWith(`${name}-`);
