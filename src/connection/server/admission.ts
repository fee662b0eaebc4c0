/**
 * Who gets in: decides about a client whose certificate was verified, before anything of the device is made for it.
 *
 * Invariants: a client that is refused holds nothing; one that is admitted holds a slot, and a place among the
 * connections of its identity, until `release`.
 */
import { hiddenName, type PeerIdentity } from '../../session/peer-identity.js';
import { RdmaError } from '../../verbs/errors.js';
import type { Lifeline } from '../lifeline/lifeline.js';
import { Refused } from '../lifeline/refused.js';
import type { RendezvousPeer } from '../lifeline/rendezvous.js';
import type { Resumptions } from '../lifeline/resumption.js';
import type { ClientRates } from '../rates/client-rates.js';
import type { IdentityRates, RatePlace } from '../rates/identity-rates.js';
import type { Authorize, ClientTerms } from '../terms/client-terms.js';
import type { DataPathLimits } from '../terms/options.js';
import { authorizeClient, IdentityCounts, limitsFor } from './authorization.js';
import type { Slots } from './slots.js';

/** What an admitted client has. */
export interface Admitted {
  readonly slot: number;
  /** What its connection gets. */
  readonly limits: DataPathLimits;
  readonly peer: PeerIdentity | null;
  /** What bounds its traffic, if anything does. */
  readonly rates: RatePlace | undefined;
}

type WhileHere = <Result>(running: Promise<Result>) => Promise<Result>;

export interface AdmissionOptions {
  readonly slots: Slots;
  readonly resumptions: Resumptions;
  readonly authorize: Authorize | undefined;
  /** Where the terms of a client say nothing else. */
  readonly limits: DataPathLimits;
  /** Connections of one certificate, where its terms say nothing about it. */
  readonly maxPerIdentity: number | undefined;
  readonly identityRates: IdentityRates;
  /** Of an identity, where its terms say nothing else. */
  readonly rates: ClientRates | undefined;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #identities = new IdentityCounts();
  /** New clients are refused; those whose session was lost still come back. */
  isDraining = false;
  #isClosed = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Nobody gets in any more. */
  close(): void {
    this.#isClosed = true;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * `whileHere`: ends the wait for a decision about a client that is gone, as the program may never decide.
   *
   * @throws Refused, or what `whileHere` throws.
   */
  async admit(
    { peer, remoteAddress }: RendezvousPeer,
    whileHere: WhileHere = (running) => running,
  ): Promise<Admitted> {
    this.#checkOpen();
    checkNames(peer);
    const { terms, limits } = await whileHere(this.#decide(peer, remoteAddress));
    this.#checkOpen();
    // Without a certificate clients cannot be told apart: only explicit terms count them.
    const usual = peer === null ? undefined : this.#options.maxPerIdentity;
    const max = terms.maxConnections ?? usual ?? Number.POSITIVE_INFINITY;
    if (!(await this.#enter(peer, max))) {
      throw new Refused('quota', `this client has its ${max} connections already`);
    }
    const slot = await this.#takeSlot();
    if (slot !== undefined && !this.#isClosed && !this.isDraining) {
      const rates = this.#options.identityRates.enter(
        peer,
        remoteAddress,
        terms.rates ?? this.#options.rates,
      );
      return { slot, limits: rates === undefined ? limits : { ...limits, rates: rates.shared }, peer, rates };
    }
    this.#identities.leave(peer);
    if (slot !== undefined) this.#options.slots.free(slot);
    this.#checkOpen();
    const { total } = this.#options.slots;
    throw new Refused('no-slot', `all ${total} slots of this server are in use; try again later`);
  }

  release({ slot, peer, rates }: Admitted): void {
    this.#identities.leave(peer);
    rates?.leave();
    this.#options.slots.free(slot);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Refused('closing', 'this server is closing');
    if (this.isDraining)
      throw new Refused('draining', 'this server takes no new clients for now; try another one, or later');
  }

  async #decide(
    peer: PeerIdentity | null,
    address: string,
  ): Promise<{ readonly terms: ClientTerms; readonly limits: DataPathLimits }> {
    try {
      const terms = await authorizeClient(this.#options.authorize, peer, address);
      return { terms, limits: limitsFor(this.#options.limits, terms) };
    } catch (error) {
      const { message, cause = error } = error as RdmaError;
      throw new Refused('not-authorized', message, { told: 'this client is not authorized', cause });
    }
  }

  /** One of its connections that never was up, because its meeting broke off, goes before one that it wants now. */
  async #enter(peer: PeerIdentity | null, max: number): Promise<boolean> {
    if (this.#identities.enter(peer, max)) return true;
    const awaiting = this.#options.resumptions.awaiting(peer);
    if (awaiting === undefined) return false;
    await giveUp(awaiting, 'the client was lost, and wants another connection');
    return this.#identities.enter(peer, max);
  }

  /** When all slots are taken, a client that is here goes before one that is lost. */
  async #takeSlot(): Promise<number | undefined> {
    const { slots, resumptions } = this.#options;
    const slot = slots.take();
    const absentee = slot === undefined ? resumptions.absentee() : undefined;
    if (absentee === undefined) return slot;
    await giveUp(absentee, 'the client was lost, and another needs its slot');
    return slots.take();
  }
}

/** Resolves when what it held is free. */
async function giveUp(lifeline: Lifeline, why: string): Promise<void> {
  lifeline.abort(new RdmaError('ERR_RDMA_CONNECTION_LOST', why));
  await lifeline.closed;
  // It is freed by those who wait for the same promise.
  await new Promise(setImmediate);
}

/** Two names that look the same to people must not be two clients. */
function checkNames(peer: PeerIdentity | null): void {
  const hidden = peer === null ? undefined : hiddenName(peer);
  if (hidden === undefined) return;
  const what = 'holds characters that people cannot see, or is longer than they are shown';
  throw new Refused('name', `a name in the certificate of the client ${what}; it looks like "${hidden}"`, {
    told: `a name in this client's certificate ${what}`,
  });
}
