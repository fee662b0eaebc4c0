/**
 * What a fuzz target is: something that takes any byte string and either comes through or throws. An input is a list of
 * steps of equal size (the last one may be shorter), so that mutations can move whole steps.
 *
 * Invariant: a run depends on nothing but its input, so that the input alone replays it. (Targets that use real objects
 * with random keys come as near to that as their keys allow.)
 */
import { throwStrays } from './strays.js';

export interface Target {
  readonly name: string;
  readonly stepBytes: number;
  readonly maxSteps: number;
  /** Inputs to begin with. */
  seeds(): readonly Uint8Array[];
  /**
   * Runs one input and returns how many hostile things (datagrams, streams, calls, fragments) were in it.
   *
   * @throws whatever went wrong: an oracle's {@link Finding}, or what the code under test threw.
   */
  run(input: Uint8Array): number | Promise<number>;
  /** Questions that only many inputs together can answer. */
  finish?(corpus: readonly Uint8Array[]): void | Promise<void>;
}

/** Runs an input; what went wrong beside it, in callbacks that nobody waits for, counts too. */
export async function runWhole(target: Target, input: Uint8Array): Promise<number> {
  const result = target.run(input);
  if (typeof result === 'number') return result;
  let count = 0;
  try {
    count = await result;
  } finally {
    await throwStrays();
  }
  return count;
}

/** The targets that a fuzzer knows, by name. */
export type TargetCatalog = Readonly<Record<string, CatalogEntry>>;

export interface CatalogEntry {
  /** Part of the whole count, in relation to the others. */
  readonly share: number;
  readonly create: () => Target | Promise<Target>;
}

/** What a module of targets exports. */
export interface CatalogModule {
  readonly TARGETS: TargetCatalog;
  /** Part of the paths of the scripts whose coverage guides; default that of src/. */
  readonly COVERED_PATH?: string;
}

export const loadCatalog = (moduleUrl: string): Promise<CatalogModule> => import(moduleUrl);

/** Something that must never happen has happened. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

/** @throws Finding unless `condition` holds. */
export function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Finding(message);
}
