/**
 * The rates of the identities of one server: those that have connections, and those that have left and would begin anew too early if
 * they were forgotten.
 *
 * Invariant: what an identity has used counts until it has come in again, whether it stays connected or not; then nothing of it is kept.
 */
import { networkOf } from '../../session/network-of.js';
import type { PeerIdentity } from '../../session/peer-identity.js';
import { closedError, RdmaError } from '../../verbs/errors.js';
import type { Clock } from '../common/clock.js';
import { type ClientRates, fullRate } from './client-rates.js';
import type { RateGate } from './rate-gate.js';
import {
  areFull,
  joinGates,
  makeSharedRates,
  type SharedRates,
  type ThrottledCounts,
  throttledCounts,
} from './shared-rates.js';

/** Of those that have left, so many are looked at when another one comes. */
const LOOKED_AT = 2;
/** An identity that has to wait again and again is told of so often. */
const TOLD_EVERY_MILLIS = 10_000;

interface Entry {
  readonly key: string;
  readonly address: string;
  readonly peer: PeerIdentity | null;
  readonly shared: SharedRates;
  connections: number;
  told: Throttled;
  toldAt: number;
}

/** How often, and for how long, identities had to wait before they could send, and could be sent, more. */
export interface Throttled {
  readonly fromClient: ThrottledCounts;
  readonly toClient: ThrottledCounts;
}

/** Of all identities that a server has had. */
export interface RateStatistics extends Throttled {
  /** Those that are counted at the moment. */
  readonly identities: number;
}

/** An identity that had to wait since it was told of before. */
export interface ThrottledIdentity extends Throttled {
  readonly address: string;
  readonly peer: PeerIdentity | null;
}

/** The place of one connection. */
export interface RatePlace {
  readonly shared: SharedRates;
  /**
   * Resolves when the identity owes nothing of what it has sent: each link begins with receives that the peer may fill.
   *
   * @throws RdmaError why the signal aborted before; ERR_RDMA_CLOSED where it does not say so.
   */
  turn(this: void, signal: AbortSignal): Promise<void>;
  leave(): void;
}

const NEVER_THROTTLED: Throttled = {
  fromClient: { times: 0, millis: 0 },
  toClient: { times: 0, millis: 0 },
};

let lastId = 0;

export class IdentityRates {
  readonly #clock: Clock;
  readonly #here = new Map<string, Entry>();
  readonly #left = new Map<string, Entry>();
  /** Of those that are forgotten. */
  #forgotten: Throttled = NEVER_THROTTLED;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A connection of the identity comes: of its certificate, or of its address where there is none; of IPv6 a host may have all of a /64.
   * `undefined`: it has no bounds.
   */
  enter(peer: PeerIdentity | null, address: string, rates: ClientRates | undefined): RatePlace | undefined {
    this.#forgetSome();
    const fromClient = fullRate(rates?.fromClient);
    const toClient = fullRate(rates?.toClient);
    if (fromClient === null && toClient === null) return undefined;
    const key = `${peer?.fingerprint256 ?? networkOf(address)} ${JSON.stringify([fromClient, toClient])}`;
    const entry = this.#here.get(key) ??
      this.#left.get(key) ?? {
        key,
        address,
        peer,
        shared: makeSharedRates(++lastId, { fromClient, toClient }, this.#clock.now()),
        connections: 0,
        told: NEVER_THROTTLED,
        toldAt: Number.NEGATIVE_INFINITY,
      };
    this.#left.delete(key);
    this.#here.set(key, entry);
    entry.connections++;
    const { shared } = entry;
    return { shared, turn: (signal) => this.#turn(shared, signal), leave: () => this.#leave(entry) };
  }

  get statistics(): RateStatistics {
    let held = this.#forgotten;
    for (const { shared } of this.#entries()) held = sumOf(held, throttledOf(shared));
    return { identities: this.#here.size + this.#left.size, ...held };
  }

  /** Those that had to wait since they were told of before, which is a while ago. */
  *takeThrottled(): Iterable<ThrottledIdentity> {
    const now = this.#clock.now();
    for (const entry of this.#entries()) {
      const held = now < entry.toldAt + TOLD_EVERY_MILLIS ? undefined : newlyThrottled(entry);
      if (held === undefined) continue;
      const { address, peer, shared } = entry;
      entry.told = throttledOf(shared);
      entry.toldAt = now;
      yield { address, peer, ...held };
    }
  }

  *#entries(): Iterable<Entry> {
    yield* this.#here.values();
    yield* this.#left.values();
  }

  async #turn(shared: SharedRates, signal: AbortSignal): Promise<void> {
    const gates = joinGates(shared, this.#clock);
    try {
      if (gates.fromClient !== null) await untilOpen(gates.fromClient, signal);
    } finally {
      gates.leave();
    }
  }

  #leave(entry: Entry): void {
    if (--entry.connections > 0) return;
    this.#here.delete(entry.key);
    this.#left.set(entry.key, entry);
  }

  #forgetSome(): void {
    const now = this.#clock.now();
    let looked = 0;
    for (const [key, entry] of this.#left) {
      if (++looked > LOOKED_AT) return;
      this.#left.delete(key);
      // What nobody has been told of stays.
      if (areFull(entry.shared, now) && newlyThrottled(entry) === undefined) this.#forget(entry);
      // Those behind it come first the next time.
      else this.#left.set(key, entry);
    }
  }

  #forget({ shared }: Entry): void {
    this.#forgotten = sumOf(this.#forgotten, throttledOf(shared));
  }
}

function untilOpen(gate: RateGate, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const held = {
      onOpen: (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      },
    };
    const stop = (): void => {
      gate.forget(held);
      reject(signal.reason instanceof RdmaError ? signal.reason : closedError('the session'));
    };
    if (signal.aborted) stop();
    else if (gate.admits(held)) resolve();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

const throttledOf = (shared: SharedRates): Throttled => ({
  fromClient: throttledCounts(shared, 'fromClient'),
  toClient: throttledCounts(shared, 'toClient'),
});

function newlyThrottled({ shared, told }: Entry): Throttled | undefined {
  const now = throttledOf(shared);
  const fromClient = since(told.fromClient, now.fromClient);
  const toClient = since(told.toClient, now.toClient);
  return fromClient.times + toClient.times === 0 ? undefined : { fromClient, toClient };
}

const sumOf = (a: Throttled, b: Throttled): Throttled => ({
  fromClient: sum(a.fromClient, b.fromClient),
  toClient: sum(a.toClient, b.toClient),
});

const sum = (a: ThrottledCounts, b: ThrottledCounts): ThrottledCounts => ({
  times: a.times + b.times,
  millis: a.millis + b.millis,
});

/** Counters of the shared memory go round. */
const since = (before: ThrottledCounts, now: ThrottledCounts): ThrottledCounts => ({
  times: (now.times - before.times) >>> 0,
  millis: (now.millis - before.millis) >>> 0,
});
