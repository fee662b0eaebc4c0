/**
 * Atomics on a shared word are linearizable: the values that they returned form one chain from the word's first value
 * to its last, in which each atomic happens exactly once, and none before another one that had completed before it
 * was posted. Values are random 64-bit numbers, so that no value appears twice by chance.
 */
import { expect } from '../failure.js';
import type { AtomicRecord } from '../records.js';

const CHECKER = 'atomics';
const MASK = (1n << 64n) - 1n;

export class SharedWord {
  readonly name: string;
  readonly first: bigint;
  readonly records: AtomicRecord[] = [];
  /** Some value that it had lately, for compare-and-swaps that have a chance. */
  lately: bigint;

  constructor(name: string, first: bigint) {
    this.name = name;
    this.first = first;
    this.lately = first;
  }

  verify(last: bigint): void {
    const { changes, failedSwaps, open } = this.#sort();
    const values = new Set<bigint>([this.first]);
    const chain: AtomicRecord[] = [];
    let value = this.first;
    for (;;) {
      const known = changes.get(value);
      const next = known === undefined ? findBridge(value, open, changes, last) : [known];
      if (next === undefined || next.length === 0) break;
      for (const record of next) {
        changes.delete(value);
        const before = value;
        value = apply(record, before);
        values.add(value);
        // A swap without an answer that changed nothing may have been tried at any time, or never.
        if (record.original !== null || value !== before) chain.push(record);
        dropFrom(open, record);
      }
    }
    expect(
      changes.size === 0,
      CHECKER,
      () => `${this.name}: atomic ${firstId(changes)} fits nowhere in the chain`,
    );
    expect(value === last, CHECKER, () => `${this.name} is ${last} and must be ${value}`);
    for (const record of failedSwaps) {
      expect(
        values.has(record.original as bigint),
        CHECKER,
        () => `${this.name}: swap ${record.id} found ${record.original}, which the word never was`,
      );
    }
    this.#verifyTimes(chain);
  }

  #sort(): { changes: Map<bigint, AtomicRecord>; failedSwaps: AtomicRecord[]; open: AtomicRecord[][] } {
    const changes = new Map<bigint, AtomicRecord>();
    const failedSwaps: AtomicRecord[] = [];
    const open = new Map<string, AtomicRecord[]>();
    for (const record of this.records) {
      const { original } = record;
      if (original === null) {
        if (record.isOpen) open.set(record.group, [...(open.get(record.group) ?? []), record]);
      } else if (record.isCompareSwap && original !== record.compare) {
        failedSwaps.push(record);
      } else {
        expect(
          !changes.has(original),
          CHECKER,
          () => `${this.name}: atomics ${changes.get(original)?.id} and ${record.id} both found ${original}`,
        );
        changes.set(original, record);
      }
    }
    return { changes, failedSwaps, open: [...open.values()] };
  }

  #verifyTimes(chain: readonly AtomicRecord[]): void {
    let latestPost = Number.NEGATIVE_INFINITY;
    let latest: AtomicRecord | undefined;
    for (const record of chain) {
      expect(
        record.settledAt >= latestPost,
        CHECKER,
        () =>
          `${this.name}: atomic ${record.id} completed before ${latest?.id} was posted, yet came after it`,
      );
      if (record.postedAt > latestPost) {
        latestPost = record.postedAt;
        latest = record;
      }
    }
  }
}

/**
 * Atomics without an answer that lead from `value` to where the chain goes on, or to the last value; those of a group
 * in their order. Empty where the chain may end here.
 */
function findBridge(
  value: bigint,
  open: readonly AtomicRecord[][],
  changes: ReadonlyMap<bigint, AtomicRecord>,
  last: bigint,
): AtomicRecord[] | undefined {
  const isGoal = (reached: bigint): boolean => (changes.size === 0 ? reached === last : changes.has(reached));
  if (isGoal(value)) return [];
  for (const [index, group] of open.entries()) {
    const record = group[0];
    if (record === undefined) continue;
    const rest = open.map((other, i) => (i === index ? other.slice(1) : other));
    const bridge = findBridge(apply(record, value), rest, changes, last);
    if (bridge !== undefined) return [record, ...bridge];
  }
  return undefined;
}

function dropFrom(open: AtomicRecord[][], record: AtomicRecord): void {
  for (const group of open) {
    const at = group.indexOf(record);
    if (at >= 0) group.splice(0, at + 1);
  }
}

function apply(record: AtomicRecord, value: bigint): bigint {
  if (!record.isCompareSwap) return (value + record.operand) & MASK;
  return value === record.compare ? record.operand : value;
}

const firstId = (changes: ReadonlyMap<bigint, AtomicRecord>): number | undefined =>
  [...changes.values()][0]?.id;
