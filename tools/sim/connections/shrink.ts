/** Makes a failing scenario of connections smaller: leaves out clients, faults and operations, and calms the network. */
import { type ChangeOf, type Shrunk, shrinkBy } from '../shrink.js';
import { FROM_ZERO } from './generate.js';
import { runScenario } from './run-seed.js';
import type { Scenario, Side } from './scenario.js';

type Change = ChangeOf<Scenario>;
const SIDES: readonly Side[] = ['client', 'server'];

export const shrink = (
  original: Scenario,
  failure: string,
  budgetMillis: number,
): Promise<Shrunk<Scenario>> =>
  shrinkBy({ run: (scenario) => runScenario(scenario), changesOf }, original, failure, budgetMillis);

function* changesOf({ plans, faults }: Scenario): Generator<Change> {
  for (let i = plans.length - 1; i > 0; i--) yield (s) => withoutLastPlan(s, i);
  for (let i = faults.length - 1; i >= 0; i--) yield (s) => s.faults.splice(i, 1).length > 0;
  for (const field of ['loss', 'duplicate', 'reorder', 'jitterMillis'] as const) {
    yield (s) => {
      const changed = s.path[field] > 0;
      s.path[field] = 0;
      return changed;
    };
  }
  yield (s) => {
    const changed = s.verbMillis > 0;
    s.verbMillis = 0;
    return changed;
  };
  yield (s) => {
    const changed = s.rates !== null;
    s.rates = null;
    return changed;
  };
  yield (s) => {
    const changed = s.blocked !== null;
    s.blocked = null;
    return changed;
  };
  yield (s) => {
    const changed = s.nearPsns || Object.values(s.first).some((first) => first > 0);
    s.nearPsns = false;
    s.first = FROM_ZERO;
    return changed;
  };
  for (const [p, plan] of plans.entries()) {
    yield (s) => {
      const [changed] = s.plans.slice(p, p + 1);
      if (changed?.isPatient !== true) return false;
      changed.isPatient = false;
      return true;
    };
    yield (s) => {
      const [changed] = s.plans.slice(p, p + 1);
      if (changed === undefined) return false;
      const { client, server } = changed.takePatience;
      const wasImpatient = client !== null || server !== null || changed.abortAfter !== null;
      changed.takePatience = { client: null, server: null };
      changed.abortAfter = null;
      return wasImpatient;
    };
    for (const side of SIDES) {
      yield (s) => {
        let changed = false;
        for (const operation of s.plans[p]?.operations[side] ?? []) {
          if (!('patience' in operation) || operation.patience === null) continue;
          operation.patience = null;
          changed = true;
        }
        return changed;
      };
    }
    for (const side of SIDES) yield* withoutOperations(p, side, plan.operations[side].length);
  }
}

/** Faults name plans by their number, so only the last one can go. */
function withoutLastPlan(scenario: Scenario, index: number): boolean {
  if (index !== scenario.plans.length - 1) return false;
  scenario.plans.pop();
  scenario.faults = scenario.faults.filter(({ plan }) => plan < index);
  return true;
}

function* withoutOperations(p: number, side: Side, count: number): Generator<Change> {
  for (let size = Math.ceil(count / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < count; at += size) {
      yield (s) => (s.plans[p]?.operations[side].splice(at, size).length ?? 0) > 0;
    }
  }
}
