/**
 * Makes a failing scenario smaller: leaves out connections, epochs, operations and actions, and calms the network, piece
 * by piece, and keeps every change after which the same checker still fails. Bounded in time.
 */
import { runScenario } from './run-seed.js';
import type { Scenario } from './scenario.js';

type Change = (scenario: Scenario) => boolean;

const checkerOf = (failure: string): string => failure.slice(0, failure.indexOf(':'));

export interface Shrunk {
  readonly scenario: Scenario;
  readonly failure: string;
}

export function shrink(original: Scenario, failure: string, budgetMillis: number): Shrunk {
  const end = Date.now() + budgetMillis;
  let best: Shrunk = { scenario: original, failure };
  for (let improved = true; improved; ) {
    improved = false;
    for (const change of changesOf(best.scenario)) {
      if (Date.now() > end) return best;
      const candidate = structuredClone(best.scenario);
      if (!change(candidate)) continue;
      const result = runScenario(candidate);
      if (result.failure === null || checkerOf(result.failure) !== checkerOf(best.failure)) continue;
      best = { scenario: candidate, failure: result.failure };
      improved = true;
    }
  }
  return best;
}

/** Big steps first. Each is tried on the best scenario so far; those that no longer fit change nothing. */
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
