/**
 * The rates of one identity, as memory that threads share, and the gates of this thread that stand for it. A server makes the memory
 * when an identity comes; data paths of any thread use it through their thread's gates.
 *
 * Invariant: a thread has one pair of gates for an identity, as long as one of its connections is there.
 */

import { BUCKET_WORDS, TokenBucket } from '../../session/token-bucket.js';
import { type Clock, threadBeganAt } from '../common/clock.js';
import type { FullRate } from './client-rates.js';
import { GATE_COUNTERS, RateGate } from './rate-gate.js';

/** Plain data, and memory that is shared where it is sent to another thread. */
export interface SharedRates {
  /** Unique among those of the server's process. */
  readonly id: number;
  readonly memory: SharedArrayBuffer;
  /** `threadBeganAt` of the thread whose clock counts. */
  readonly clockBeganAt: number;
  readonly fromClient: FullRate | null;
  readonly toClient: FullRate | null;
}

/** A direction has two buckets and the counters of its gate. */
const DIRECTION_WORDS = 2 * BUCKET_WORDS + GATE_COUNTERS;
const COUNTERS_AT = 2 * BUCKET_WORDS;

/** How often an identity had to wait, and for how long. */
export interface ThrottledCounts {
  readonly times: number;
  readonly millis: number;
}

type Direction = 'fromClient' | 'toClient';
const AT: Readonly<Record<Direction, number>> = { fromClient: 0, toClient: DIRECTION_WORDS };

export function makeSharedRates(id: number, rates: Pick<SharedRates, Direction>, now: number): SharedRates {
  const memory = new SharedArrayBuffer(2 * DIRECTION_WORDS * 4);
  const shared = { id, memory, clockBeganAt: threadBeganAt, ...rates };
  for (const bucket of allBuckets(shared)) bucket.fill(now);
  return shared;
}

/** Nothing of what happened until now is still felt. */
export function areFull(shared: SharedRates, now: number): boolean {
  return allBuckets(shared).every((bucket) => {
    bucket.refill(now);
    return bucket.isFull;
  });
}

export function throttledCounts({ memory }: SharedRates, direction: Direction): ThrottledCounts {
  const words = new Int32Array(memory);
  const at = AT[direction] + COUNTERS_AT;
  return { times: Atomics.load(words, at) >>> 0, millis: Atomics.load(words, at + 1) >>> 0 };
}

interface Buckets {
  readonly bytes: TokenBucket | null;
  readonly messages: TokenBucket | null;
}

function bucketsOf(shared: SharedRates, direction: Direction): Buckets {
  const rate = shared[direction];
  const words = new Int32Array(shared.memory);
  const at = AT[direction];
  const bucket = (perSecond: number | null | undefined, burst: number, place: number): TokenBucket | null =>
    perSecond == null ? null : new TokenBucket(words, place, { perSecond, burst });
  return {
    bytes: bucket(rate?.bytesPerSecond, rate?.burstBytes ?? 0, at),
    messages: bucket(rate?.messagesPerSecond, rate?.burstMessages ?? 0, at + BUCKET_WORDS),
  };
}

function allBuckets(shared: SharedRates): TokenBucket[] {
  const { fromClient, toClient } = {
    fromClient: bucketsOf(shared, 'fromClient'),
    toClient: bucketsOf(shared, 'toClient'),
  };
  return [fromClient.bytes, fromClient.messages, toClient.bytes, toClient.messages].filter(
    (bucket) => bucket !== null,
  );
}

/** What a data path asks; `null` for a direction without bounds. */
export interface Gates {
  readonly fromClient: RateGate | null;
  readonly toClient: RateGate | null;
  /** The data path is over. */
  leave(): void;
}

interface Entry {
  readonly fromClient: RateGate | null;
  readonly toClient: RateGate | null;
  users: number;
}

const entries = new Map<number, Entry>();

/** The gates of this thread. */
export function joinGates(shared: SharedRates, clock: Clock): Gates {
  const { id } = shared;
  const entry = entries.get(id) ?? newEntry(shared, clock);
  entries.set(id, entry);
  entry.users++;
  const { fromClient, toClient } = entry;
  let isIn = true;
  return {
    fromClient,
    toClient,
    leave() {
      if (isIn && --entry.users === 0) entries.delete(id);
      isIn = false;
    },
  };
}

function newEntry(shared: SharedRates, own: Clock): Entry {
  const aheadMillis = threadBeganAt - shared.clockBeganAt;
  const clock: Clock = {
    now: () => own.now() + aheadMillis,
    timer: (owner) => own.timer(owner),
  };
  const words = new Int32Array(shared.memory);
  const gate = (direction: Direction): RateGate | null =>
    shared[direction] === null
      ? null
      : new RateGate({
          ...bucketsOf(shared, direction),
          clock,
          words,
          countersAt: AT[direction] + COUNTERS_AT,
        });
  return { fromClient: gate('fromClient'), toClient: gate('toClient'), users: 0 };
}
