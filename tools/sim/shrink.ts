/**
 * Makes a failing scenario smaller, piece by piece, and keeps every change after which the same checker still fails.
 * Bounded in time. What can be left out of a scenario of queue pairs: connections, epochs, operations, actions and faults
 * of the network.
 */
import { runScenario, type SeedResult } from './run-seed.js';
import type { Scenario } from './scenario.js';

/** Changes a scenario in place; returns whether anything is different then. */
export type ChangeOf<S> = (scenario: S) => boolean;
type Change = ChangeOf<Scenario>;

const checkerOf = (failure: string): string => failure.slice(0, failure.indexOf(':'));

export interface Shrunk<S> {
  readonly scenario: S;
  readonly failure: string;
}

export interface Shrinking<S> {
  run(scenario: S): SeedResult | Promise<SeedResult>;
  /** Big steps first. Each is tried on the best scenario so far; those that no longer fit change nothing. */
  changesOf(scenario: S): Iterable<ChangeOf<S>>;
}

export const shrink = (
  original: Scenario,
  failure: string,
  budgetMillis: number,
): Promise<Shrunk<Scenario>> => shrinkBy({ run: runScenario, changesOf }, original, failure, budgetMillis);

export async function shrinkBy<S>(
  { run, changesOf: changes }: Shrinking<S>,
  original: S,
  failure: string,
  budgetMillis: number,
): Promise<Shrunk<S>> {
  const end = Date.now() + budgetMillis;
  let best: Shrunk<S> = { scenario: original, failure };
  for (let improved = true; improved; ) {
    improved = false;
    for (const change of changes(best.scenario)) {
      if (Date.now() > end) return best;
      const candidate = structuredClone(best.scenario);
      if (!change(candidate)) continue;
      const result = await run(candidate);
      if (result.failure === null || checkerOf(result.failure) !== checkerOf(best.failure)) continue;
      best = { scenario: candidate, failure: result.failure };
      improved = true;
    }
  }
  return best;
}

function* changesOf(scenario: Scenario): Generator<Change> {
  for (let i = scenario.connections.length - 1; i >= 0; i--) {
    yield (s) => s.connections.length > 1 && s.connections.splice(i, 1).length > 0;
  }
  yield (s) => s.outages.splice(0).length > 0;
  for (const field of ['loss', 'duplicate', 'reorder', 'corrupt', 'jitterMicros'] as const) {
    yield (s) => calm(s, field);
  }
  yield (s) => hurry(s);
  for (const [c, connection] of scenario.connections.entries()) {
    for (let e = connection.epochs.length - 1; e >= 0; e--) {
      yield (s) => s.connections[c] !== undefined && (s.connections[c]?.epochs.splice(e, 1).length ?? 0) > 0;
    }
    for (const [e, epoch] of connection.epochs.entries()) {
      yield* changesOfEpoch(c, e, epoch.operations.length, epoch.actions.length);
    }
  }
}

function* changesOfEpoch(c: number, e: number, operations: number, actions: number): Generator<Change> {
  for (let size = Math.ceil(operations / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < operations; at += size) {
      yield (s) => (s.connections[c]?.epochs[e]?.operations.splice(at, size).length ?? 0) > 0;
    }
  }
  for (let at = actions - 1; at >= 0; at--) {
    yield (s) => (s.connections[c]?.epochs[e]?.actions.splice(at, 1).length ?? 0) > 0;
  }
}

function calm(
  scenario: Scenario,
  field: 'loss' | 'duplicate' | 'reorder' | 'corrupt' | 'jitterMicros',
): boolean {
  let changed = false;
  for (const link of scenario.links.flat()) {
    if (link[field] > 0) changed = true;
    link[field] = 0;
  }
  return changed;
}

/** Every host does everything at once. */
function hurry(scenario: Scenario): boolean {
  const slow = scenario.hosts.filter((host) => host.turnMicros > 0);
  for (const host of slow) host.turnMicros = 0;
  return slow.length > 0;
}
