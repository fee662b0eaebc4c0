/** Makes a failing scenario of communication managers smaller: leaves out what happens, and calms the network. */
import { type ChangeOf, type Shrunk, shrinkBy } from '../shrink.js';
import { runScenario } from './run-seed.js';
import type { Scenario } from './scenario.js';

type Change = ChangeOf<Scenario>;

export const shrink = (
  original: Scenario,
  failure: string,
  budgetMillis: number,
): Promise<Shrunk<Scenario>> =>
  shrinkBy({ run: (scenario) => runScenario(scenario), changesOf }, original, failure, budgetMillis);

function* changesOf({ meetings, lookups, restarts, outages }: Scenario): Generator<Change> {
  for (let i = meetings.length - 1; i >= 0; i--) yield (s) => s.meetings.splice(i, 1).length > 0;
  for (let i = lookups.length - 1; i >= 0; i--) yield (s) => s.lookups.splice(i, 1).length > 0;
  for (let i = restarts.length - 1; i >= 0; i--) yield (s) => s.restarts.splice(i, 1).length > 0;
  for (let i = outages.length - 1; i >= 0; i--) yield (s) => s.outages.splice(i, 1).length > 0;
  for (const field of ['loss', 'duplicate', 'straggle', 'jitterMillis'] as const) {
    yield (s) => {
      const changed = s.network[field] > 0;
      s.network[field] = 0;
      return changed;
    };
  }
}
