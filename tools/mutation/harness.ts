/**
 * Plants faults one after the other in copies of the build, one copy a job, and asks their judges.
 *
 * Invariants:
 * - Every fault fits its source, and every judge has nothing to object to the code as it is; otherwise nothing is planted.
 * - A fault is noticed when a judge objects, and not when a judge only ran out of time. Before that counts, the fault is tried
 *   once more, with nothing else running.
 */
import { BuildCopy } from './build-copy.js';
import type { Fault, Judge } from './fault.js';
import { askJudge, type Verdict } from './judge.js';
import { codeWith } from './plant.js';

export interface HarnessOptions {
  /** The folder that has src/ with the sources and build/ with the code. */
  readonly root: string;
  readonly jobs: number;
  /** How long one judge may take at most, however long it takes for the code as it is. */
  readonly limitMillis: number;
}

/** A judge that takes so many times as long as for the code as it is has found something that hangs, and will not say what. */
const PATIENCE = 6;
/** On a busy machine a short judge may take much longer. */
const LEAST_LIMIT_MILLIS = 20_000;

export interface Outcome extends Verdict {
  readonly fault: Fault;
  /** The judge that objected. */
  readonly by: Judge | null;
  readonly millis: number;
}

/** What is wrong with the faults or the judges themselves. */
export class CannotJudge extends Error {}

/** @throws CannotJudge */
export async function tryFaults(
  faults: readonly Fault[],
  options: HarnessOptions,
  onOutcome: (outcome: Outcome) => void,
): Promise<readonly Outcome[]> {
  const code = new Map<Fault, string>();
  for (const fault of faults) code.set(fault, await mutate(fault, options.root));
  const judges = [...new Set(faults.flatMap((fault) => fault.judges))];
  const limits = new Map<Judge, number>();
  const outcomes: Outcome[] = [];
  await inCopies(options, judges, async (copy, judge) => {
    const start = performance.now();
    const { noticed, sign } = await askJudge(copy, judge, options.limitMillis);
    if (noticed || sign !== NOTHING) throw new CannotJudge(`without a fault, ${judge} says: ${sign}`);
    const patientMillis = Math.max(LEAST_LIMIT_MILLIS, Math.round(PATIENCE * (performance.now() - start)));
    limits.set(judge, Math.min(options.limitMillis, patientMillis));
  });
  const late: Fault[] = [];
  const tryOne = async (copy: BuildCopy, fault: Fault, isAlone: boolean): Promise<void> => {
    const outcome = await tryFault(copy, fault, code.get(fault) ?? '', limits);
    if (!outcome.noticed && outcome.isLate && !isAlone) {
      late.push(fault);
      return;
    }
    outcomes.push(outcome);
    onOutcome(outcome);
  };
  await inCopies(options, faults, (copy, fault) => tryOne(copy, fault, options.jobs === 1));
  await inCopies({ ...options, jobs: 1 }, late, (copy, fault) => tryOne(copy, fault, true));
  return outcomes;
}

const NOTHING = 'nothing objected';

async function mutate(fault: Fault, root: string): Promise<string> {
  try {
    return await codeWith(fault, root);
  } catch (error) {
    throw new CannotJudge(`${fault.id}: ${(error as Error).message}`);
  }
}

async function tryFault(
  copy: BuildCopy,
  fault: Fault,
  code: string,
  limits: ReadonlyMap<Judge, number>,
): Promise<Outcome> {
  const start = performance.now();
  const signs: string[] = [];
  let isLate = false;
  const by = await copy.with(fault.file, code, async () => {
    for (const judge of fault.judges) {
      const verdict = await askJudge(copy, judge, limits.get(judge) ?? 0);
      signs.push(verdict.sign);
      isLate ||= verdict.isLate;
      if (verdict.noticed) return judge;
    }
    return null;
  });
  const millis = Math.round(performance.now() - start);
  const sign = by === null ? [...new Set(signs)].join('; ') : (signs.at(-1) ?? '');
  return { fault, noticed: by !== null, by, sign, isLate, millis };
}

/** Does `work` for all items, in as many copies at once as there are jobs. */
async function inCopies<T>(
  { root, jobs }: HarnessOptions,
  items: readonly T[],
  work: (copy: BuildCopy, item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  await Promise.all(
    Array.from({ length: Math.min(jobs, items.length) }, async () => {
      const copy = new BuildCopy(root);
      try {
        for (let item = left.shift(); item !== undefined; item = left.shift()) await work(copy, item);
      } catch (error) {
        left.length = 0;
        throw error;
      } finally {
        copy.remove();
      }
    }),
  );
}
